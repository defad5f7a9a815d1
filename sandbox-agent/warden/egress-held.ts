/**
 * The way out of one held sandbox: what it depends on of the sandbox's life.
 * Promise: nothing passes but while it runs on paid time.
 */
import type { Clock } from './clock.ts';
import { Egress, type EgressPolicy, egressKinds, NO_EGRESS } from './egress.ts';
import type { EgressMachine } from './egress-dial.ts';
import type { Facts } from './fault.ts';
import { type Held, leftMs, stateOf } from './held.ts';
import type { Level } from './image.ts';

export interface HeldEgressOptions {
  machine: EgressMachine;
  level: Level;
  clock: Clock;
  tell(held: Held, event: 'egress_changed', facts: Facts): void;
}

/** `held` is asked when something happens, not before. @errors throws as `readEgress` does */
export function egressOf(
  held: () => Held,
  policy: EgressPolicy | null | undefined,
  options: HeldEgressOptions,
): Egress {
  const { machine, level, clock, tell } = options;
  const parts = {
    machine,
    offered: egressKinds(level),
    mayPass: () => stateOf(held()) === 'running' && !held().isEnding && leftMs(held(), clock, 0) > 0,
    nowUs: () => Math.round(clock.wallMs() * 1_000),
    mask: (text: string) => held().secrets.mask(text),
    onChanged: ({ serial, mode, allow }: EgressPolicy) =>
      tell(held(), 'egress_changed', { serial, mode, rules: allow.length }),
  };
  return new Egress(parts, policy ?? NO_EGRESS);
}
