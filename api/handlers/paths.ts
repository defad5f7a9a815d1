/**
 * Paths of a sandbox: a change is receipted as activity, then made on the machine under a name of its own.
 * Promise: a repeated key meets the change it made and changes nothing again.
 */
import type { Engine } from '@tallystick/engine';
import type { PathChanged, Provider } from '@tallystick/engine/adapters/provider';
import type { JsonObject } from '@tallystick/kernel';
import { PathService } from '@tallystick/proto';
import { type Call, implement } from '@tallystick/surface';
import { askFiles } from '../file-refusal.ts';
import { changeIdOf } from '../ids.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { timestampFromUs } from '../view-parts.ts';
import { workingSandbox } from './working-sandbox.ts';

export const pathHandlers = (engine: Engine, provider: Provider) => {
  const change = async (
    call: Call,
    { id, cause, asked }: { id: string; cause: string; asked: { path: string; target?: string } & JsonObject },
    make: (changeId: string) => Promise<PathChanged>,
  ) => {
    await workingSandbox(engine, call, id);
    const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'RecordActivity', body: { cause, ...asked } });
    const { receiptId } = await executeFor(engine, call, command);
    const { path, target = '' } = asked;
    const changeId = changeIdOf(call.principal!.id, call.idempotencyKey);
    const { entries } = await askFiles(target === '' ? { path } : { path, target }, () => make(changeId));
    return { sandboxId: id, path, target, entries: BigInt(entries), receiptId };
  };
  return implement(PathService, {
    async statPath({ id, path, digest }, call) {
      await workingSandbox(engine, call, id);
      const told = await askFiles({ path }, () => provider.statPath(id, path, digest));
      return {
        sandboxId: id,
        path,
        type: told.type,
        bytes: BigInt(told.bytes),
        mode: told.mode,
        modifiedAt: timestampFromUs(BigInt(Math.trunc(told.modified_us))),
        linkTarget: told.target ?? '',
        sha256: told.sha256 ?? '',
      };
    },
    makeDirectory: ({ id, path, parents }, call) =>
      change(call, { id, cause: 'mkdir', asked: { path, parents } }, (changeId) =>
        provider.makeFolder(id, { change_id: changeId, path, parents }),
      ),
    movePath: ({ id, path, target, overwrite }, call) =>
      change(call, { id, cause: 'move', asked: { path, target, overwrite } }, (changeId) =>
        provider.movePath(id, { change_id: changeId, path, to: target, overwrite }),
      ),
    removePath: ({ id, path, recursive }, call) =>
      change(call, { id, cause: 'remove', asked: { path, recursive } }, (changeId) =>
        provider.removePath(id, { change_id: changeId, path, recursive }),
      ),
  });
};
