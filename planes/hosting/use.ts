/**
 * What an owner does with a running sandbox: commands, files, signs of life, more time or money, the end.
 * Promise: every use is a receipt and moves the last activity; nothing here moves money.
 */
import {
  CAP_ISSUER,
  type Command,
  countIn,
  type Decision,
  type DomainEvent,
  flagIn,
  type JsonObject,
  jobCapAccount,
  microsIn,
  optionalIn,
  overPolicy,
  type Reads,
  type Rejection,
  type Seen,
  sandboxCapAccount,
  standingStream,
  suspended,
  textIn,
} from '@tallystick/kernel';
import { NOT_FOUND, notOwner, notProvider, notRunning, unfunded } from './access.ts';
import { type Bound, type Clamped, clamp, countClamp, ruleOf, spendClamp } from './clamp.ts';
import { stopping } from './ending.ts';
import type { JobState } from './job-state.ts';
import { largerOf } from './lease.ts';
import { type Allowance, allowanceIn } from './policy.ts';
import { evolveSandbox, type SandboxState } from './sandbox-state.ts';
import { ttlTimer } from './timers.ts';

/** How many commands may run in one sandbox at once. */
export const EXECS_IN_FLIGHT_MAX = 256;
/** The end of a command that never ran. */
export const NOT_STARTED = 'not_started';
const US_PER_MS = 1_000n;

/** Members that every activity carries, for the sandbox itself and for its job. */
export function activity(
  state: SandboxState,
  seen: Seen,
  cause: string,
  change: { execs?: number; untilUs?: bigint } = {},
) {
  const activeUntilUs = largerOf(BigInt(state.active_until_us), change.untilUs ?? 0n);
  return {
    job: state.job,
    touches_job: state.touches_job,
    at_us: String(seen.atUs),
    cause,
    is_busy: (change.execs ?? state.execs.length) > 0,
    active_until_us: String(activeUntilUs),
  };
}

export const notUsable = (state: SandboxState, command: Command, { atUs }: Seen): Rejection | undefined =>
  notOwner(state, command) ?? unfunded(state, atUs) ?? notRunning(state, 'running');

export function done(state: SandboxState, event: DomainEvent): Decision {
  return { events: [event], answer: { sandbox: evolveSandbox(state, event) } };
}

export function startExec(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notUsable(state, command, seen);
  if (refused) return refused;
  const { body } = command;
  const execId = textIn(body, 'exec_id');
  const first = optionalIn(body, 'first_receipt', textIn);
  if (first !== null || state.execs.includes(execId))
    return { rejection: 'ALREADY_EXISTS', facts: { id: execId, ...(first === null ? {} : { first_receipt: first }) } };
  const execs = state.execs.length + 1;
  if (execs > EXECS_IN_FLIGHT_MAX)
    return {
      rejection: 'POLICY_CAP_EXCEEDED',
      facts: { cap: 'execs_in_flight_max', asked: execs, available: EXECS_IN_FLIGHT_MAX },
    };
  const started = {
    exec_id: execId,
    argv_sha256: textIn(body, 'argv_sha256'),
    program: textIn(body, 'program'),
    timeout_ms: optionalIn(body, 'timeout_ms', countIn),
  };
  return done(state, { type: 'ExecStarted', body: { ...started, ...activity(state, seen, 'exec', { execs }) } });
}

/** Said by the provider, also while the sandbox stops; of one that the machine refused to start, by the platform. */
export function finishExec(state: SandboxState, command: Command, seen: Seen): Decision {
  const { body, principal } = command;
  const isNeverStarted = principal === 'platform' && state.owner !== '' && body['end'] === NOT_STARTED;
  const stranger = isNeverStarted ? undefined : notProvider(state, command);
  const refused = stranger ?? notRunning(state, 'running', 'frozen', 'stopping');
  if (refused) return refused;
  const execId = textIn(body, 'exec_id');
  if (!state.execs.includes(execId)) return NOT_FOUND;
  const finished = {
    exec_id: execId,
    end: textIn(body, 'end'),
    exit_code: optionalIn(body, 'exit_code', countIn),
    signal: optionalIn(body, 'signal', textIn),
    stdout_bytes: countIn(body, 'stdout_bytes'),
    stderr_bytes: countIn(body, 'stderr_bytes'),
  };
  const execs = state.execs.length - 1;
  return done(state, { type: 'ExecFinished', body: { ...finished, ...activity(state, seen, 'exec', { execs }) } });
}

export function recordUpload(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notUsable(state, command, seen);
  if (refused) return refused;
  const { body } = command;
  const uploaded = {
    path: textIn(body, 'path'),
    bytes: countIn(body, 'bytes'),
    sha256: textIn(body, 'sha256'),
    unpack: flagIn(body, 'unpack'),
  };
  return done(state, { type: 'UploadRecorded', body: { ...uploaded, ...activity(state, seen, 'upload') } });
}

/** Reading and watching; the caller says it at most now and then. */
export function recordActivity(state: SandboxState, command: Command, seen: Seen): Decision {
  const cause = textIn(command.body, 'cause');
  return (
    notUsable(state, command, seen) ?? done(state, { type: 'ActivityRecorded', body: activity(state, seen, cause) })
  );
}

export function touchSandbox(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notOwner(state, command) ?? notRunning(state, 'starting', 'running', 'frozen');
  if (refused) return refused;
  const forMs = optionalIn(command.body, 'for_ms', countIn) ?? 0;
  const untilUs = seen.atUs + BigInt(forMs) * US_PER_MS;
  const said = { reason: textIn(command.body, 'reason') };
  return done(state, { type: 'SandboxTouched', body: { ...said, ...activity(state, seen, 'touch', { untilUs }) } });
}

/** By its owner, or because its job stopped: `reason` is heard only from a reaction. */
export function stopSandbox(state: SandboxState, command: Command, seen: Seen): Decision {
  const isReaction = command.principal === 'reaction';
  const refused = isReaction ? undefined : notOwner(state, command);
  if (refused) return refused;
  const isEarly = state.status === 'stopping' && BigInt(state.ends_at_us!) > seen.atUs;
  const closed = notRunning(
    state,
    'starting',
    'running',
    'frozen',
    ...(isEarly && !isReaction ? ['stopping' as const] : []),
  );
  if (closed) return closed;
  const asked = isReaction ? textIn(command.body, 'reason') : 'stopped_by_owner';
  const stop = stopping(state, seen, state.stop_reason || asked, seen.atUs);
  return { ...stop, answer: { sandbox: stop.events.reduce(evolveSandbox, state) } };
}

/** Its disk was kept; heard only from a reaction. */
export function noteSnapshot(state: SandboxState, command: Command): Decision {
  if (command.principal !== 'reaction') return NOT_FOUND;
  const refused = notRunning(state, 'ended');
  if (refused) return refused;
  return done(state, { type: 'SnapshotKept', body: { snapshot: textIn(command.body, 'snapshot') } });
}

/** Its time to live is over. */
export function stopAtTtl(state: SandboxState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'timer') return NOT_FOUND;
  const refused = notRunning(state, 'starting', 'running', 'frozen');
  if (refused) return refused;
  const isEarly = seen.atUs < BigInt(state.expires_at_us);
  return isEarly
    ? { events: [], timers: [ttlTimer(state, seen.atUs)] }
    : stopping(state, seen, 'sandbox_ttl', seen.atUs);
}

/** What extending looks at. */
export function extensionReads(sandbox: string, command: Command): Reads {
  const job = textIn(command.body, 'job');
  return {
    streams: [`job:${job}`, standingStream(command.principal)],
    accounts: [jobCapAccount(job), sandboxCapAccount(sandbox)],
  };
}

export function extendSandbox(state: SandboxState, command: Command, seen: Seen): Decision {
  if (state.job !== textIn(command.body, 'job')) return NOT_FOUND;
  const refused = notOwner(state, command) ?? notRunning(state, 'starting', 'running', 'frozen');
  if (refused) return refused;
  const allowance = allowanceIn(seen, state.owner);
  const job = seen.state(`job:${state.job}`) as JobState;
  const closed = suspended(allowance);
  if (closed) return closed;
  if (job.status !== 'active')
    return { rejection: 'JOB_NOT_ACTIVE', facts: { status: job.status, reason: job.stop_reason } };
  const addSpend = optionalIn(command.body, 'add_spend_micros', microsIn) ?? 0n;
  const addTtlMs = BigInt(optionalIn(command.body, 'add_ttl_ms', countIn) ?? 0);
  if (addSpend <= 0n && addTtlMs <= 0n) return { rejection: 'NOTHING_TO_CHANGE' };
  const spend = moreSpend(state, job, seen, addSpend, allowance);
  const ttl = moreTtl(state, job, addTtlMs, allowance);
  const extension = { addSpend, spend, addTtlMs, ttl };
  if (spend.added <= 0n && ttl.added <= 0n) return nothingLeft(job, seen, extension, allowance);
  return extended(state, seen, extension);
}

interface More extends Clamped {
  requested: bigint;
  added: bigint;
}

interface Extension {
  addSpend: bigint;
  spend: More;
  addTtlMs: bigint;
  ttl: More;
}

/** `now` plus what was asked, within the bounds, never less than now. */
function more(now: bigint, add: bigint, ...bounds: Bound[]): More {
  const requested = now + add;
  const clamped = clamp(requested, ...bounds);
  const effective = largerOf(now, clamped.effective);
  return { requested, effective, rule: clamped.rule, added: effective - now };
}

function moreSpend(state: SandboxState, job: JobState, seen: Seen, add: bigint, { tier }: Allowance): More {
  const available = seen.availableMicros(sandboxCapAccount(state.id)) ?? 0n;
  const remaining = seen.availableMicros(jobCapAccount(job.id)) ?? 0n;
  const now = BigInt(state.max_spend_micros);
  const policy: Bound = { rule: 'user_policy', max: BigInt(tier.spend_micros_per_job_max) };
  return more(now, add, policy, { rule: 'job_remaining', max: now + remaining - available });
}

function moreTtl(state: SandboxState, job: JobState, addMs: bigint, { tier }: Allowance): More {
  const jobMs = (BigInt(job.expires_at_us) - BigInt(state.created_at_us)) / US_PER_MS;
  const policy: Bound = { rule: 'user_policy', max: BigInt(tier.ttl_ms_max) };
  return more(BigInt(state.ttl_ms), addMs, policy, { rule: 'job_remaining', max: jobMs });
}

function nothingLeft(
  job: JobState,
  seen: Seen,
  { addSpend, spend, addTtlMs, ttl }: Extension,
  allowance: Allowance,
): Rejection {
  if (addSpend > 0n && spend.rule === 'job_remaining') {
    const available = seen.availableMicros(jobCapAccount(job.id)) ?? 0n;
    const facts = { cap_micros: job.max_total_spend_micros, required_micros: String(addSpend) };
    return { rejection: 'JOB_CAP_EXCEEDED', facts: { ...facts, available_micros: String(available) } };
  }
  if (addSpend > 0n) return overPolicy(allowance, 'spend_micros_per_job_max', String(addSpend), '0');
  return overPolicy(allowance, ttl.rule === 'job_remaining' ? 'job_ttl_ms' : 'ttl_ms_max', Number(addTtlMs), 0);
}

function extended(state: SandboxState, seen: Seen, { addSpend, spend, addTtlMs, ttl }: Extension): Decision {
  const clamps = [
    ...(addSpend > 0n ? [spendClamp('max_spend_micros', spend.requested, spend)] : []),
    ...(addTtlMs > 0n ? [countClamp('ttl_ms', Number(ttl.requested), ttl)] : []),
  ];
  const body: JsonObject = {
    max_spend_micros: String(spend.effective),
    ttl_ms: Number(ttl.effective),
    expires_at_us: String(BigInt(state.created_at_us) + ttl.effective * US_PER_MS),
    clamps,
  };
  const event: DomainEvent = { type: 'SandboxExtended', body };
  const after = evolveSandbox(state, event);
  const cap = sandboxCapAccount(state.id);
  const capAvailable = (seen.availableMicros(cap) ?? 0n) + spend.added;
  return {
    events: [event],
    postings: spend.added > 0n ? [{ asset: 'cap', debit: CAP_ISSUER, credit: cap, amountMicros: spend.added }] : [],
    timers: ttl.added > 0n ? [ttlTimer(after, seen.atUs)] : [],
    answer: { sandbox: after, cap_available_micros: String(capAvailable) },
    rule: ruleOf(clamps),
  };
}
