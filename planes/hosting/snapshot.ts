/**
 * Snapshots: asked for by an owner or kept at the end of money, counted against caps, expiring by themselves.
 * Promise: what is kept is never more than the tier's caps; every snapshot ends with one reason in a receipt.
 */
import {
  type Accepted,
  type Command,
  countIn,
  type Decider,
  type Decision,
  type DomainEvent,
  type JsonObject,
  type OutboxMessage,
  optionalIn,
  overPolicy,
  type Quota,
  type Reads,
  type Rejection,
  type Seen,
  standingStream,
  suspended,
  type Timer,
  textIn,
} from '@tallystick/kernel';
import { NOT_FOUND, notRunning } from './access.ts';
import { clamp, countClamp, ruleOf } from './clamp.ts';
import { type Allowance, allowanceIn } from './policy.ts';
import { snapshotAccounts, snapshotQuotas, storeChange } from './quota.ts';
import { endSnapshotOf, type SandboxState } from './sandbox-state.ts';
import { evolveSnapshot, NO_SNAPSHOT, type SnapshotState, type SnapshotStatus } from './snapshot-state.ts';

const PREFIX = 'snapshot:';
const US_PER_MS = 1_000n;
const BYTES_PER_MIB = 1_048_576n;
/** A machine that has not said anything of it by then will not. */
export const SNAPSHOT_MAKING_MS_MAX = 600_000;
/** A smaller disk lives in the machine's memory. */
export const SNAPSHOT_DISK_MIB_MIN = 256;

type Rule = (state: SnapshotState, command: Command, seen: Seen) => Decision;

const RULES: Record<string, Rule> = {
  TakeSnapshot: takeSnapshot,
  ReportSnapshot: reportSnapshot,
  ReportSnapshotFailed: reportSnapshotFailed,
  ReportSnapshotDamaged: reportSnapshotDamaged,
  ReportSnapshotLost: reportSnapshotLost,
  GiveUpSnapshot: giveUpSnapshot,
  DeleteSnapshot: deleteSnapshot,
  ExpireSnapshot: expireSnapshot,
};

export const snapshot: Decider<SnapshotState> = {
  kind: 'snapshot',
  initial: NO_SNAPSHOT,
  reads,
  decide(state, command, seen) {
    const rule = RULES[command.type];
    if (!rule) throw new TypeError(`a snapshot knows no command ${command.type}`);
    return rule(state, command, seen);
  },
  evolve: evolveSnapshot,
  owner: (state) => state.owner || null,
};

/** The stream of a snapshot. */
export const snapshotStream = (id: string): string => `${PREFIX}${id}`;

function reads({ type, body, principal }: Command): Reads {
  if (type !== 'TakeSnapshot' && type !== 'ReportSnapshot') return {};
  const owner = type === 'TakeSnapshot' ? principal : textIn(body, 'owner');
  return {
    streams: [`sandbox:${textIn(body, 'sandbox')}`, standingStream(owner)],
    accounts: snapshotAccounts(owner),
  };
}

const sandboxIn = (seen: Seen, { body }: Command): SandboxState =>
  seen.state(`sandbox:${textIn(body, 'sandbox')}`) as SandboxState;

const bytesOfDisk = ({ disk_mib }: { disk_mib: number }): bigint => BigInt(disk_mib) * BYTES_PER_MIB;

/** The order of checks is the order of the lines. */
function takeSnapshot(state: SnapshotState, command: Command, seen: Seen): Decision {
  const { principal, body } = command;
  const sandbox = sandboxIn(seen, command);
  if (sandbox.owner === '' || sandbox.owner !== principal) return NOT_FOUND;
  if (state.status !== '') return state.owner === principal ? exists(state) : NOT_FOUND;
  const closed = notRunning(sandbox, 'running', 'frozen');
  if (closed) return closed;
  const allowance = allowanceIn(seen, principal);
  const refused = suspended(allowance) ?? diskInMemory(sandbox.disk_mib);
  if (refused) return refused;
  const bytes = bytesOfDisk(sandbox);
  const quotas = snapshotQuotas(seen, principal, allowance.tier);
  const over = overQuota(allowance, quotas, bytes);
  if (over) return over;
  const asked = optionalIn(body, 'ttl_ms', countIn);
  const max = allowance.tier.snapshot_ttl_ms_max;
  const ttl = clamp(BigInt(asked ?? max), { rule: 'user_policy', max: BigInt(max) });
  const clamps = asked === null ? [] : [countClamp('ttl_ms', asked, ttl)];
  const event: DomainEvent = {
    type: 'SnapshotAsked',
    body: {
      ...sourceOf(command, sandbox),
      cause: 'asked',
      label: textIn(body, 'label'),
      bytes: String(bytes),
      ttl_ms: Number(ttl.effective),
      clamps,
      created_at_us: String(seen.atUs),
    },
  };
  const after = evolveSnapshot(state, event);
  return {
    events: [event],
    opens: opensOf(quotas),
    postings: [...postingsOf(quotas), ...storeChange(principal, 1n, bytes)],
    timers: [timerOf(after, 'GiveUpSnapshot', seen.atUs + BigInt(SNAPSHOT_MAKING_MS_MAX) * US_PER_MS)],
    outbox: [takeMessage(after)],
    answer: { snapshot: after },
    rule: ruleOf(clamps),
  };
}

const exists = ({ id }: SnapshotState): Rejection => ({ rejection: 'ALREADY_EXISTS', facts: { id } });

/** Undefined when a disk of that size can be kept. */
export const diskInMemory = (diskMib: number): Rejection | undefined =>
  diskMib >= SNAPSHOT_DISK_MIB_MIN
    ? undefined
    : {
        rejection: 'DISK_OUT_OF_RANGE',
        facts: { cap: 'snapshot_disk_mib_min', asked: diskMib, available: SNAPSHOT_DISK_MIB_MIN },
      };

const sourceOf = (command: Command, sandbox: SandboxState) => ({
  id: command.stream.slice(PREFIX.length),
  owner: sandbox.owner,
  sandbox: sandbox.id,
  incarnation: sandbox.incarnation,
  job: sandbox.job,
  provider: sandbox.provider,
  image: sandbox.image,
  image_digest: sandbox.image_digest ?? '',
  disk_mib: sandbox.disk_mib,
});

interface Quotas {
  count: Quota;
  bytes: Quota;
}

const opensOf = ({ count, bytes }: Quotas) => [...count.opens, ...bytes.opens];
const postingsOf = ({ count, bytes }: Quotas) => [...count.postings, ...bytes.postings];

function overQuota(allowance: Allowance, { count, bytes }: Quotas, asked: bigint): Rejection | undefined {
  if (count.left < 1n) return overPolicy(allowance, 'snapshots_max', Number(count.used) + 1, 0);
  if (bytes.left >= asked) return undefined;
  return overPolicy(allowance, 'snapshot_bytes_max', String(asked), String(bytes.left));
}

/** Undefined when its provider reports of a snapshot in one of these statuses. */
function notReport(state: SnapshotState, command: Command, ...allowed: SnapshotStatus[]): Rejection | undefined {
  if (state.provider === '' || command.principal !== `provider:${state.provider}`) return NOT_FOUND;
  return allowed.includes(state.status) ? undefined : { rejection: 'NOTHING_TO_CHANGE' };
}

/** It is whole: one that was asked for, or one that was kept as its sandbox ended. */
function reportSnapshot(state: SnapshotState, command: Command, seen: Seen): Decision {
  const sandbox = sandboxIn(seen, command);
  if (state.status === '') return keptAtEnd(state, command, seen, sandbox);
  const refused = notReport(state, command, 'making');
  if (refused) return refused;
  if (state.sandbox !== sandbox.id || state.owner !== textIn(command.body, 'owner')) return NOT_FOUND;
  const stored = storedIn(command, state);
  const event = takenEvent(state, command, seen, stored, {});
  return ready(state, event, storeChange(state.owner, 0n, stored - BigInt(state.bytes)));
}

/** Never more than the disk, whatever the machine says. */
function storedIn({ body }: Command, disk: { disk_mib: number }): bigint {
  const [told, most] = [BigInt(countIn(body, 'bytes')), bytesOfDisk(disk)];
  return told < most ? told : most;
}

function takenEvent(
  { ttl_ms, disk_mib }: Pick<SnapshotState, 'ttl_ms' | 'disk_mib'>,
  { body }: Command,
  seen: Seen,
  stored: bigint,
  more: JsonObject,
): DomainEvent {
  return {
    type: 'SnapshotTaken',
    body: {
      ...more,
      disk_mib,
      sha256: textIn(body, 'sha256'),
      bytes: String(stored),
      taken_at_us: String(seen.atUs),
      expires_at_us: String(seen.atUs + BigInt(ttl_ms) * US_PER_MS),
    },
  };
}

function ready(state: SnapshotState, event: DomainEvent, postings: Accepted['postings'] & object): Accepted {
  const after = evolveSnapshot(state, event);
  return {
    events: [event],
    postings,
    timers: [timerOf(after, 'ExpireSnapshot', BigInt(after.expires_at_us!))],
    answer: { snapshot: after },
  };
}

/** What does not fit its owner's caps is not kept, and a receipt says so. */
function keptAtEnd(state: SnapshotState, command: Command, seen: Seen, sandbox: SandboxState): Decision {
  const id = command.stream.slice(PREFIX.length);
  const isReporter = sandbox.provider !== '' && command.principal === `provider:${sandbox.provider}`;
  const isAnnounced = sandbox.on_end === 'snapshot' && id === endSnapshotOf(sandbox.id);
  if (!isReporter || !isAnnounced || sandbox.owner !== textIn(command.body, 'owner')) return NOT_FOUND;
  const living = notRunning(sandbox, 'ended');
  if (living) return living;
  const allowance = allowanceIn(seen, sandbox.owner);
  const quotas = snapshotQuotas(seen, sandbox.owner, allowance.tier);
  const stored = storedIn(command, sandbox);
  const source = {
    ...sourceOf(command, sandbox),
    cause: 'on_end',
    label: sandbox.label,
    ttl_ms: allowance.tier.snapshot_ttl_ms_max,
    created_at_us: String(seen.atUs),
  };
  const over = overQuota(allowance, quotas, stored);
  if (over) return notKept({ ...state, ...source }, String(over.facts?.['cap']), seen, source);
  const taken = ready(
    { ...state, ...source },
    takenEvent({ ...state, ...source }, command, seen, stored, source),
    storeChange(sandbox.owner, 1n, stored),
  );
  return { ...taken, opens: opensOf(quotas), postings: [...postingsOf(quotas), ...taken.postings!] };
}

function notKept(state: SnapshotState, reason: string, seen: Seen, source: JsonObject = {}): Accepted {
  const event: DomainEvent = {
    type: 'SnapshotFailed',
    body: { ...source, reason, deleted_at_us: String(seen.atUs) },
  };
  return {
    events: [event],
    outbox: [deleteMessage(state)],
    answer: { snapshot: evolveSnapshot(state, event) },
    rule: reason,
  };
}

/** Gives back what it counted for. */
const freed = (state: SnapshotState) => storeChange(state.owner, -1n, -BigInt(state.bytes));

/** The machine could not take it. */
function reportSnapshotFailed(state: SnapshotState, command: Command, seen: Seen): Decision {
  return notReport(state, command, 'making') ?? failed(state, textIn(command.body, 'cause'), seen);
}

/** Nothing was heard of it. */
function giveUpSnapshot(state: SnapshotState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'timer') return NOT_FOUND;
  return state.status === 'making' ? failed(state, 'not_heard', seen) : { rejection: 'NOTHING_TO_CHANGE' };
}

const failed = (state: SnapshotState, reason: string, seen: Seen): Accepted => ({
  ...notKept(state, reason, seen),
  postings: freed(state),
  timers: [clearedTimer(state)],
});

/** A start from it found other bytes than were kept. It stays, so that its owner sees it, until it is deleted or expires. */
function reportSnapshotDamaged(state: SnapshotState, command: Command): Decision {
  const refused = notReport(state, command, 'ready');
  if (refused) return refused;
  const event: DomainEvent = { type: 'SnapshotDamaged', body: { reason: textIn(command.body, 'cause') } };
  return { events: [event], answer: { snapshot: evolveSnapshot(state, event) } };
}

/** Its machine has it no more. */
function reportSnapshotLost(state: SnapshotState, command: Command, seen: Seen): Decision {
  return notReport(state, command, 'ready', 'damaged') ?? deleted(state, 'provider_lost', seen);
}

function deleteSnapshot(state: SnapshotState, command: Command, seen: Seen): Decision {
  if (state.owner === '' || command.principal !== state.owner) return NOT_FOUND;
  return state.is_kept ? deleted(state, 'deleted_by_owner', seen) : { rejection: 'NOTHING_TO_CHANGE' };
}

/** Its time is over. */
function expireSnapshot(state: SnapshotState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'timer') return NOT_FOUND;
  return state.is_kept ? deleted(state, 'expired', seen) : { rejection: 'NOTHING_TO_CHANGE' };
}

function deleted(state: SnapshotState, reason: string, seen: Seen): Accepted {
  const event: DomainEvent = { type: 'SnapshotDeleted', body: { reason, deleted_at_us: String(seen.atUs) } };
  return {
    events: [event],
    postings: freed(state),
    timers: [clearedTimer(state)],
    outbox: [deleteMessage(state)],
    answer: { snapshot: evolveSnapshot(state, event) },
    rule: reason,
  };
}

/** One alarm at a time: first to give up, then to expire. */
function timerOf({ id }: SnapshotState, type: string, dueUs: bigint): Timer {
  return {
    timer: `snapshot:${id}`,
    round: Number(dueUs),
    dueUs,
    command: { stream: snapshotStream(id), type, body: {} },
  };
}

const clearedTimer = (state: SnapshotState): Timer => ({ ...timerOf(state, 'ExpireSnapshot', 0n), dueUs: undefined });

/** Not in the sandbox's own lane: a long copy must not hold up its next lease. */
const takeMessage = ({ id, sandbox, incarnation, provider, owner }: SnapshotState): OutboxMessage => ({
  topic: 'take-snapshot',
  body: { snapshot: id, of_sandbox: sandbox, incarnation, provider, owner },
});

const deleteMessage = ({ id, sandbox, provider }: SnapshotState): OutboxMessage => ({
  topic: 'delete-snapshot',
  body: { snapshot: id, of_sandbox: sandbox, provider },
});
