/**
 * What a provider says of its machine, and what is assumed when it says nothing.
 * Promise: only the sandbox's own provider is heard, for this life of it, and its clock never makes paid time longer.
 */
import {
  type Accepted,
  type Command,
  countIn,
  type Decision,
  type DomainEvent,
  optionalIn,
  type Seen,
  textIn,
  timeUsIn,
} from '@tallystick/kernel';
import { NOT_FOUND, notProvider, notRunning } from './access.ts';
import { type End, ended, finishMessage, stopping } from './ending.ts';
import { largerOf, paidBetweenUs, quantumUs, smallerOf } from './lease.ts';
import { isAsStrong } from './policy.ts';
import { evolveSandbox, type SandboxState } from './sandbox-state.ts';
import { clearedTimers, leaseTimer } from './timers.ts';

const US_PER_MS = 1_000n;

/** The machine is ready: the first step counts from now. */
export function reportStarted(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notProvider(state, command) ?? notRunning(state, 'starting', 'stopping');
  if (refused) return refused;
  if (state.started_at_us !== null) return { rejection: 'NOTHING_TO_CHANGE' };
  const isolation = textIn(command.body, 'isolation');
  const imageVersion = optionalIn(command.body, 'image_version', textIn) ?? '';
  const imageDigest = optionalIn(command.body, 'image_digest', textIn);
  const machine = { isolation, imageVersion, imageDigest };
  const event = startedEvent(state, seen, timeUsIn(command.body, 'started_at_us'), machine);
  const after = evolveSandbox(state, event);
  const answer = { sandbox: after };
  if (after.status === 'stopping') return { events: [event], answer };
  const sold = state.image_digest ?? '';
  const isSameImage = sold === '' || sold === (imageDigest ?? sold);
  if (isSameImage && isAsStrong(isolation, state.isolation))
    return { events: [event], timers: [...clearedTimers(after, 'start'), leaseTimer(after, seen.atUs)], answer };
  const stop = stopping(after, seen, 'policy', seen.atUs, isSameImage ? 'policy' : 'image_digest');
  return { ...stop, events: [event, ...stop.events] };
}

/** Between its creation and now, and never beyond the bound that the first ticket names. */
function startedEvent(
  state: SandboxState,
  seen: Seen,
  reportedUs: bigint,
  { isolation, imageVersion, imageDigest }: { isolation: string; imageVersion: string; imageDigest?: string | null },
): DomainEvent {
  const startedUs = largerOf(BigInt(state.created_at_us), smallerOf(reportedUs, seen.atUs));
  const paidUntilUs = smallerOf(BigInt(state.paid_until_us), startedUs + quantumUs(state));
  return {
    type: 'MachineStarted',
    body: {
      started_at_us: String(startedUs),
      paid_until_us: String(paidUntilUs),
      isolation,
      image_version: imageVersion,
      ...(imageDigest ? { image_digest: imageDigest } : {}),
    },
  };
}

/** The provider says that the machine never ran. */
export function reportStartFailed(state: SandboxState, command: Command): Decision {
  const refused = notProvider(state, command) ?? notRunning(state, 'starting', 'stopping');
  if (refused) return refused;
  if (state.started_at_us !== null) return { rejection: 'SANDBOX_NOT_RUNNING', facts: lifeOf(state) };
  const reason = state.stop_reason || 'start_failed';
  const end = ended(state, { reason, atUs: BigInt(state.created_at_us), ranMs: 0, cpuUs: '0' });
  const evidence = [{ cause: textIn(command.body, 'cause') }];
  return { ...end, evidence, outbox: [finishMessage(state, reason, null)] };
}

const lifeOf = ({ status, stop_reason }: SandboxState) => ({ status, stop_reason });

/** Nobody said in time that the machine is ready. It may still run on its ticket, so the money waits for the provider's word. */
export function failStart(state: SandboxState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'timer') return NOT_FOUND;
  return notRunning(state, 'starting') ?? stopping(state, seen, 'start_failed', seen.atUs);
}

/** The machine stands still. */
export function reportFrozen(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notProvider(state, command) ?? notRunning(state, 'running', 'stopping');
  if (refused) return refused;
  if (state.frozen_at_us !== null) return { rejection: 'NOTHING_TO_CHANGE' };
  const atUs = momentOf(state, timeUsIn(command.body, 'at_us'), seen);
  return { events: [{ type: 'MachineFrozen', body: { at_us: String(atUs) } }] };
}

/** The machine goes on; paid time during which it stood still will be given back. */
export function reportThawed(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notProvider(state, command) ?? notRunning(state, 'frozen', 'stopping');
  if (refused) return refused;
  if (state.frozen_at_us === null) return { rejection: 'NOTHING_TO_CHANGE' };
  const frozenUs = BigInt(state.frozen_at_us);
  const atUs = largerOf(frozenUs, momentOf(state, timeUsIn(command.body, 'at_us'), seen));
  const undeliveredUs = paidBetweenUs(state, frozenUs, atUs);
  return {
    events: [{ type: 'MachineThawed', body: { at_us: String(atUs), undelivered_us: String(undeliveredUs) } }],
  };
}

/** A provider's moment, between the sandbox's creation and now. */
const momentOf = (state: SandboxState, reportedUs: bigint, seen: Seen): bigint =>
  largerOf(BigInt(state.started_at_us ?? state.created_at_us), smallerOf(reportedUs, seen.atUs));

/** The machine is gone. */
export function reportEnded(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notProvider(state, command) ?? notRunning(state, 'starting', 'running', 'frozen', 'stopping');
  if (refused) return refused;
  const { body } = command;
  const reason = state.stop_reason || reasonOf(state, textIn(body, 'reason'));
  const ranMs = countIn(body, 'ran_ms');
  const end = { reason, atUs: timeUsIn(body, 'at_us'), ranMs, cpuUs: cpuUsIn(command) };
  return endNow(state, seen, { ...end, atUs: momentOf(state, end.atUs, seen) });
}

/** A machine may end before anybody heard that it was ready: it then ran as long as its provider measured. */
function endNow(state: SandboxState, seen: Seen, end: End): Accepted {
  if (state.started_at_us !== null || end.ranMs === 0) return ended(state, end);
  const started = startedEvent(state, seen, end.atUs - BigInt(end.ranMs) * US_PER_MS, {
    isolation: state.isolation,
    imageVersion: '',
  });
  const after = ended(evolveSandbox(state, started), end);
  return { ...after, events: [started, ...after.events] };
}

function cpuUsIn({ body }: Command): string {
  const value = body['cpu_us'];
  return typeof value === 'number' ? String(countIn(body, 'cpu_us')) : (optionalIn(body, 'cpu_us', textIn) ?? '0');
}

/** The typed reason for an end that nobody asked for. */
function reasonOf(state: SandboxState, reported: string): string {
  if (reported === 'oom') return 'oom';
  if (state.started_at_us === null && state.status === 'starting') return 'start_failed';
  return reported === 'lease_ended' && state.is_unfunded ? 'insufficient_funds' : 'provider_lost';
}

/** The platform noticed that the provider has lost the machine, last seen running at `seen_at_us`. */
export function reportLost(state: SandboxState, command: Command, seen: Seen): Decision {
  const { body, principal } = command;
  if (principal !== 'platform' || countIn(body, 'incarnation') !== state.incarnation) return NOT_FOUND;
  const refused = notRunning(state, 'starting', 'running', 'frozen', 'stopping');
  if (refused) return refused;
  const atUs = momentOf(state, timeUsIn(body, 'seen_at_us'), seen);
  const reason = state.stop_reason || 'provider_lost';
  const over = ended(state, { reason, atUs, ranMs: state.ran_ms, cpuUs: state.cpu_us });
  return { ...over, outbox: [finishMessage(state, reason, null)] }; // should it come back, it must not run on
}

/** The provider never said that the machine ended, and by now no lease can run. */
export function assumeEnded(state: SandboxState, command: Command): Decision {
  if (command.principal !== 'timer') return NOT_FOUND;
  const refused = notRunning(state, 'stopping');
  if (refused) return refused;
  const reason = state.stop_reason === 'start_failed' ? 'start_failed' : 'provider_lost';
  return ended(state, { reason, atUs: BigInt(state.ends_at_us!), ranMs: state.ran_ms, cpuUs: state.cpu_us });
}
