/**
 * Traffic through an open port, as activity of its sandbox.
 * Promise: it is recorded in the owner's name by leave of the exposure, and only for the life that was exposed.
 */
import type { Engine } from '@tallystick/engine';
import type { Passage } from './traffic.ts';

/** @errors rejects with Fault when the database could not be asked; a sandbox that does not run refuses, which is no fault */
export function recordPortActivity(engine: Engine, { exposure, owner }: Passage): Promise<unknown> {
  const { sandbox, incarnation, port } = exposure;
  return engine.execute({
    principal: owner,
    grant: `port:${port.port}:${port.serial}`,
    key: `port-activity ${sandbox} ${engine.nowUs()}`,
    stream: `sandbox:${sandbox}`,
    type: 'RecordActivity',
    body: { cause: 'port', incarnation },
  });
}
