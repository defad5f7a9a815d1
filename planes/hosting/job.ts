/**
 * Jobs: opening, extending and stopping a bounded spending window.
 * Promise: a job never grants more than min(asked, policy), and stopping it stops everything in it.
 */
import {
  type Accepted,
  CAP_ISSUER,
  type Command,
  countIn,
  type Decider,
  type Decision,
  type DomainEvent,
  flagIn,
  type JsonObject,
  jobCapAccount,
  jobSlotAccount,
  microsIn,
  optionalIn,
  overPolicy,
  type Posting,
  type Reads,
  type Rejection,
  type Seen,
  SLOT_ISSUER,
  standingStream,
  suspended,
  type Timer,
  textIn,
} from '@tallystick/kernel';
import { type Clamped, type ClampState, clamp, countClamp, ruleOf, spendClamp } from './clamp.ts';
import { evolveJob, type JobState, type JobStatus, jobIdleAtUs, NO_JOB } from './job-state.ts';
import { allowanceIn, type Tier } from './policy.ts';

const PREFIX = 'job:';
const US_PER_MS = 1_000n;

/** What a job becomes, by the reason for which it stops. */
const STATUS_BY_REASON: Record<string, JobStatus> = {
  stopped_by_owner: 'stopped',
  job_cap: 'stopped_due_to_budget',
  job_ttl: 'expired',
  idle: 'stopped_due_to_idle',
  insufficient_funds: 'stopped',
  policy: 'stopped',
};

type Rule = (state: JobState, command: Command, seen: Seen) => Decision;

const RULES: Record<string, Rule> = {
  OpenJob: openJob,
  ExtendJob: extendJob,
  StopJob: stopJob,
  ExpireJob: expireJob,
  CheckJobIdle: checkJobIdle,
  AttachSandbox: attachSandbox,
  DetachSandbox: detachSandbox,
  TouchJob: touchJob,
};

/** Commands whose answer says what the job may still spend. */
const ANSWERED = new Set(['ExtendJob', 'StopJob']);
/** Commands that the policy has a say in. */
const LIMITED = new Set(['OpenJob', 'ExtendJob']);

export const job: Decider<JobState> = {
  kind: 'job',
  initial: NO_JOB,
  reads,
  decide(state, command, seen) {
    const rule = RULES[command.type];
    if (!rule) throw new TypeError(`a job knows no command ${command.type}`);
    return rule(state, command, seen);
  },
  evolve: evolveJob,
  owner: (state) => state.owner || null,
};

function reads(command: Command): Reads {
  return {
    streams: LIMITED.has(command.type) ? [standingStream(command.principal)] : [],
    accounts: ANSWERED.has(command.type) ? [jobCapAccount(idOf(command))] : [],
  };
}

const NOT_FOUND: Rejection = { rejection: 'NOT_FOUND' };

const idOf = (command: Command): string => command.stream.slice(PREFIX.length);

const notActive = (state: JobState): Rejection => ({
  rejection: 'JOB_NOT_ACTIVE',
  facts: { status: state.status, reason: state.stop_reason },
});

function openJob(state: JobState, command: Command, seen: Seen): Decision {
  const { principal, body } = command;
  const id = idOf(command);
  if (state.status !== '')
    return state.owner === principal ? { rejection: 'ALREADY_EXISTS', facts: { id } } : NOT_FOUND;
  const allowance = allowanceIn(seen, principal);
  const refused = suspended(allowance);
  if (refused) return refused;
  const asked = microsIn(body, 'max_total_spend_micros');
  if (asked <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(asked) } };
  const { clamps, spend, ttlMs, sandboxesMax } = openLimits(asked, body, allowance.tier);
  const opened = {
    id,
    owner: principal,
    label: textIn(body, 'label'),
    max_total_spend_micros: String(spend),
    ttl_ms: ttlMs,
    idle_timeout_ms: optionalIn(body, 'idle_timeout_ms', countIn),
    sandboxes_max: sandboxesMax,
    created_at_us: String(seen.atUs),
    expires_at_us: String(seen.atUs + BigInt(ttlMs) * US_PER_MS),
    clamps,
  };
  const event: DomainEvent = { type: 'JobOpened', body: opened };
  const after = evolveJob(state, event);
  const [cap, slots] = [jobCapAccount(id), jobSlotAccount(id)];
  return {
    events: [event],
    opens: [
      { account: cap, asset: 'cap', noOverdraft: true },
      { account: slots, asset: 'slot', noOverdraft: true },
    ],
    postings: [
      { asset: 'cap', debit: CAP_ISSUER, credit: cap, amountMicros: spend },
      { asset: 'slot', debit: SLOT_ISSUER, credit: slots, amountMicros: BigInt(sandboxesMax) },
    ],
    timers: [ttlTimer(after), ...idleTimers(after, seen.atUs)],
    answer: answerOf(after, spend),
    rule: ruleOf(clamps),
  };
}

/** min(asked, policy) for spend, time and count, with a line for each that was asked for. */
function openLimits(asked: bigint, body: JsonObject, tier: Tier) {
  const clamps: ClampState[] = [];
  const policyMax = (max: number) => ({ rule: 'user_policy' as const, max: BigInt(max) });
  const limit = (field: string, fallback: number, max: number): number => {
    const requested = optionalIn(body, field, countIn);
    const clamped = clamp(BigInt(requested ?? fallback), policyMax(max));
    if (requested !== null) clamps.push(countClamp(field, requested, clamped));
    return Number(clamped.effective);
  };
  const spend = clamp(asked, { rule: 'user_policy', max: BigInt(tier.spend_micros_per_job_max) });
  clamps.push(spendClamp('max_total_spend_micros', asked, spend));
  const ttlMs = limit('ttl_ms', tier.ttl_ms_default, tier.ttl_ms_max);
  const sandboxesMax = limit('sandboxes_max', tier.sandboxes_per_job_max, tier.sandboxes_per_job_max);
  return { clamps, spend: spend.effective, ttlMs, sandboxesMax };
}

function extendJob(state: JobState, command: Command, seen: Seen): Decision {
  if (state.owner === '' || state.owner !== command.principal) return NOT_FOUND;
  if (state.status !== 'active') return notActive(state);
  const allowance = allowanceIn(seen, state.owner);
  const refused = suspended(allowance);
  if (refused) return refused;
  const addSpend = optionalIn(command.body, 'add_spend_micros', microsIn) ?? 0n;
  const addTtlMs = optionalIn(command.body, 'add_ttl_ms', countIn) ?? 0;
  if (addSpend <= 0n && addTtlMs <= 0) return { rejection: 'NOTHING_TO_CHANGE' };
  const { tier } = allowance;
  const spend = extended(BigInt(state.max_total_spend_micros), addSpend, BigInt(tier.spend_micros_per_job_max));
  const ttl = extended(BigInt(state.ttl_ms), BigInt(addTtlMs), BigInt(tier.ttl_ms_max));
  if (spend.added <= 0n && ttl.added <= 0n)
    return addSpend > 0n
      ? overPolicy(allowance, 'spend_micros_per_job_max', String(addSpend), '0')
      : overPolicy(allowance, 'ttl_ms_max', addTtlMs, 0);
  const clamps = [
    ...(addSpend > 0n ? [spendClamp('max_total_spend_micros', spend.requested, spend)] : []),
    ...(addTtlMs > 0 ? [countClamp('ttl_ms', Number(ttl.requested), ttl)] : []),
  ];
  const body = {
    max_total_spend_micros: String(spend.effective),
    ttl_ms: Number(ttl.effective),
    expires_at_us: String(BigInt(state.created_at_us) + ttl.effective * US_PER_MS),
    clamps,
  };
  const event: DomainEvent = { type: 'JobExtended', body };
  const after = evolveJob(state, event);
  const cap = jobCapAccount(state.id);
  const granted: Posting = { asset: 'cap', debit: CAP_ISSUER, credit: cap, amountMicros: spend.added };
  return {
    events: [event],
    postings: spend.added > 0n ? [granted] : [],
    timers: ttl.added > 0n ? [ttlTimer(after)] : [],
    answer: answerOf(after, (seen.availableMicros(cap) ?? 0n) + spend.added),
    rule: ruleOf(clamps),
  };
}

/** `now` plus what was asked, bounded by the policy, never less than now. */
function extended(now: bigint, add: bigint, max: bigint): Clamped & { requested: bigint; added: bigint } {
  const requested = now + add;
  const clamped = clamp(requested, { rule: 'user_policy', max: max > now ? max : now });
  return { requested, ...clamped, added: clamped.effective - now };
}

function stopJob(state: JobState, command: Command, seen: Seen): Decision {
  const isTrusted = command.principal === 'platform' || command.principal === 'reaction';
  if (state.status === '' || (!isTrusted && command.principal !== state.owner)) return NOT_FOUND;
  if (state.status !== 'active') return notActive(state);
  const reason = isTrusted ? (optionalIn(command.body, 'reason', textIn) ?? 'stopped_by_owner') : 'stopped_by_owner';
  const decision = stopped(state, seen, reason);
  const after = decision.events.reduce(evolveJob, state);
  return { ...decision, answer: answerOf(after, seen.availableMicros(jobCapAccount(state.id)) ?? 0n) };
}

function stopped(state: JobState, seen: Seen, reason: string): Accepted {
  const status = STATUS_BY_REASON[reason];
  if (!status) throw new TypeError(`a job does not stop for the reason ${reason}`);
  const sandboxes = state.sandboxes.map(({ id }) => id);
  const event: DomainEvent = {
    type: 'JobStopped',
    body: { reason, status, sandboxes, stopped_at_us: String(seen.atUs) },
  };
  return {
    events: [event],
    timers: [cleared(`job-ttl:${state.id}`, state), cleared(`job-idle:${state.id}`, state)],
    rule: reason,
  };
}

function expireJob(state: JobState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'timer' || state.status === '') return NOT_FOUND;
  if (state.status !== 'active') return notActive(state);
  if (seen.atUs < BigInt(state.expires_at_us)) return { events: [], timers: [ttlTimer(state)] };
  return stopped(state, seen, 'job_ttl');
}

function checkJobIdle(state: JobState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'timer' || state.status === '') return NOT_FOUND;
  if (state.status !== 'active') return notActive(state);
  const idleAtUs = jobIdleAtUs(state);
  if (idleAtUs === undefined || seen.atUs < idleAtUs) return { events: [], timers: idleTimers(state, seen.atUs) };
  return stopped(state, seen, 'idle');
}

function attachSandbox(state: JobState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'reaction' || state.status === '') return NOT_FOUND;
  const sandbox = textIn(command.body, 'sandbox');
  if (state.sandboxes.some(({ id }) => id === sandbox)) return { rejection: 'ALREADY_EXISTS', facts: { id: sandbox } };
  const attached: DomainEvent = { type: 'SandboxAttached', body: { sandbox, at_us: String(seen.atUs) } };
  const stopAsked: DomainEvent = { type: 'SandboxStopAsked', body: { sandbox, reason: state.stop_reason } };
  return { events: state.status === 'active' ? [attached] : [attached, stopAsked] };
}

function detachSandbox(state: JobState, command: Command, seen: Seen): Decision {
  const sandbox = textIn(command.body, 'sandbox');
  if (command.principal !== 'reaction' || !state.sandboxes.some(({ id }) => id === sandbox)) return NOT_FOUND;
  return { events: [{ type: 'SandboxDetached', body: { sandbox, at_us: String(seen.atUs) } }] };
}

/** Told of the end of a command before its start, as may happen under load, a job would take it for running for ever. */
function touchJob(state: JobState, command: Command, seen: Seen): Decision {
  const { body, principal } = command;
  const sandbox = textIn(body, 'sandbox');
  const attached = state.sandboxes.find(({ id }) => id === sandbox);
  if (principal !== 'reaction' || !attached) return NOT_FOUND;
  if (state.status !== 'active') return notActive(state);
  const atPos = countIn(body, 'at_pos');
  if (atPos <= attached.touched_pos) return { rejection: 'NOTHING_TO_CHANGE' };
  const touched = {
    sandbox,
    at_pos: atPos,
    cause: textIn(body, 'cause'),
    is_busy: flagIn(body, 'is_busy'),
    active_until_us: textIn(body, 'active_until_us'),
    at_us: String(seen.atUs),
  };
  return { events: [{ type: 'JobTouched', body: touched }] };
}

/** Rounds are due times: a timer that is set anew has another key than the one that fired. */
function timerAt(timer: string, type: string, job: JobState, dueUs: bigint): Timer {
  return { timer, round: Number(dueUs), dueUs, command: { stream: `${PREFIX}${job.id}`, type, body: {} } };
}

const ttlTimer = (job: JobState): Timer => timerAt(`job-ttl:${job.id}`, 'ExpireJob', job, BigInt(job.expires_at_us));

function idleTimers(job: JobState, atUs: bigint): Timer[] {
  if (job.idle_timeout_ms === null) return [];
  const dueUs = jobIdleAtUs(job) ?? atUs + BigInt(job.idle_timeout_ms) * US_PER_MS;
  return [timerAt(`job-idle:${job.id}`, 'CheckJobIdle', job, dueUs)];
}

const cleared = (timer: string, job: JobState): Timer => ({
  timer,
  round: 0,
  dueUs: undefined,
  command: { stream: `${PREFIX}${job.id}`, type: 'StopJob', body: {} },
});

const answerOf = (job: JobState, capAvailableMicros: bigint): JsonObject => ({
  job,
  cap_available_micros: String(capAvailableMicros),
});
