/**
 * Opening a sandbox: limits, checks, the first step.
 * Promise: a machine is only ever asked for by the decision that took the money for its first step.
 */
import {
  CAP_ISSUER,
  type Command,
  countIn,
  type Decision,
  type DomainEvent,
  dayOf,
  escrowAccount,
  type JsonObject,
  jobCapAccount,
  jobSlotAccount,
  microsIn,
  type OutboxMessage,
  optionalIn,
  overPolicy,
  type Quota,
  type Reads,
  type Rejection,
  type Seen,
  SLOT_RUNNING,
  sandboxCapAccount,
  standingStream,
  suspended,
  textIn,
  timeTextOf,
  userAccount,
} from '@tallystick/kernel';
import { NOT_FOUND } from './access.ts';
import { type Bound, type ClampState, clamp, countClamp, ruleOf, spendClamp } from './clamp.ts';
import { egressMember, notLetOut } from './egress.ts';
import { type ChosenImage, imageOf } from './images.ts';
import type { JobState } from './job-state.ts';
import { firstStep, smallerOf, stepUsMin, ticketOf } from './lease.ts';
import { type Allowance, allowanceIn, isAsStrong, type Tier } from './policy.ts';
import { pricePerMinute, pricePerQuantum } from './price.ts';
import { closedFor, providerIn, providerStream } from './provider.ts';
import { dayAccounts, dayAfter, dayQuota, slotAccounts, slotQuota, slotTaking } from './quota.ts';
import { endSnapshotOf, evolveSandbox, type SandboxState, type Step } from './sandbox-state.ts';
import { paymentOf, soldEvent } from './sell.ts';
import { notStartable, startingReads, startMembers } from './start-from.ts';
import { startTimer, ttlTimer } from './timers.ts';

const PREFIX = 'sandbox:';
const US_PER_MS = 1_000n;

/** What opening looks at. */
export function openingReads(command: Command): Reads {
  const { body } = command;
  const [job, payer, day] = [textIn(body, 'job'), textIn(body, 'payer'), textIn(body, 'day')];
  return {
    streams: [`job:${job}`, standingStream(payer), providerStream(textIn(body, 'provider')), ...startingReads(command)],
    accounts: [
      ...[userAccount(payer), jobCapAccount(job), jobSlotAccount(job), ...slotAccounts(payer)],
      ...[...dayAccounts(payer, day), ...dayAccounts(payer, dayAfter(day))],
    ],
  };
}

/** The order of checks is the order of the lines. */
export function openSandbox(state: SandboxState, command: Command, seen: Seen): Decision {
  const { body, principal } = command;
  const job = seen.state(`job:${textIn(body, 'job')}`) as JobState;
  if (job.owner === '' || job.owner !== principal || textIn(body, 'payer') !== principal) return NOT_FOUND;
  if (state.status !== '') return existing(state, principal);
  const allowance = allowanceIn(seen, principal);
  const isSuspended = suspended(allowance);
  if (isSuspended) return isSuspended;
  const securityMode = textIn(body, 'security_mode');
  if (securityMode !== 'standard')
    return { rejection: 'SECURITY_MODE_NOT_ENABLED', facts: { security_mode: securityMode } };
  const image = imageOf(command);
  if ('rejection' in image) return image;
  if (job.status !== 'active')
    return { rejection: 'JOB_NOT_ACTIVE', facts: { status: job.status, reason: job.stop_reason } };
  const isClosed = closedFor(providerIn(seen, textIn(body, 'provider')));
  if (isClosed) return isClosed;
  const limits = limitsOf(body, job, seen, allowance);
  const unstartable = notStartable(command, limits.shape.disk_mib, seen);
  if (unstartable) return unstartable;
  const quotas = quotasOf(principal, seen, allowance);
  const refused = overLimits(body, job, seen, { allowance, limits, quotas });
  if (refused) return refused;
  const made = { ...openedBody(command, job, image, limits, seen), ...egressMember(body, allowance) };
  return opened(state, made, { limits, quotas }, seen);
}

const existing = (state: SandboxState, principal: string): Rejection =>
  state.owner === principal ? { rejection: 'ALREADY_EXISTS', facts: { id: state.id } } : NOT_FOUND;

/** What its owner may use over all its jobs. */
interface Quotas {
  day: string;
  spending: Quota;
  slots: Quota;
}

/** The command names the day, so that `reads` knows it; it may have been made just before midnight. */
function quotasOf(principal: string, seen: Seen, { tier }: Allowance): Quotas {
  const day = dayOf(seen.atUs);
  return { day, spending: dayQuota(seen, principal, day, tier), slots: slotQuota(seen, principal, tier) };
}

interface Limits {
  shape: { cpu_millis: number; ram_mib: number; disk_mib: number };
  ttlMs: number;
  quantumMs: number;
  /** Asked for and allowed by policy; undefined: no cap of its own. */
  ownSpend: bigint | undefined;
  spend: bigint;
  pricePerMinute: bigint;
  price: bigint;
  clamps: ClampState[];
}

/** min(asked, policy, what remains of the job), with a line for each limit that was asked for. */
function limitsOf(body: JsonObject, job: JobState, seen: Seen, { tier }: Allowance): Limits {
  const clamps: ClampState[] = [];
  const policy = (max: number): Bound => ({ rule: 'user_policy', max: BigInt(max) });
  const limit = (field: string, asked: number | null, ...bounds: Bound[]): number => {
    const clamped = clamp(asked === null ? bounds[0]!.max : BigInt(asked), ...bounds);
    if (asked !== null) clamps.push(countClamp(field, asked, clamped));
    return Number(clamped.effective);
  };
  const shape = {
    cpu_millis: limit('cpu_millis', countIn(body, 'cpu_millis'), policy(tier.cpu_millis_max)),
    ram_mib: limit('ram_mib', countIn(body, 'ram_mib'), policy(tier.ram_mib_max)),
    disk_mib: limit('disk_mib', countIn(body, 'disk_mib'), policy(tier.disk_mib_max)),
  };
  const jobTtl: Bound = { rule: 'job_remaining', max: (BigInt(job.expires_at_us) - seen.atUs) / US_PER_MS };
  const ttlMs = limit('ttl_ms', optionalIn(body, 'ttl_ms', countIn), policy(tier.ttl_ms_max), jobTtl);
  const quantumMs = quantumOf(body, clamps, tier);
  const { spend, ownSpend } = spendOf(body, job, seen, clamps, tier);
  const perMinute = pricePerMinute(shape);
  return {
    ...{ shape, ttlMs, quantumMs, ownSpend, spend, clamps, pricePerMinute: perMinute },
    price: pricePerQuantum(perMinute, quantumMs),
  };
}

function quantumOf(body: JsonObject, clamps: ClampState[], { quantum_ms_min, quantum_ms_max }: Tier): number {
  const asked = optionalIn(body, 'quantum_ms', countIn);
  const effective = Math.min(quantum_ms_max, Math.max(quantum_ms_min, asked ?? countIn(body, 'default_quantum_ms')));
  const rule = effective === asked ? '' : 'user_policy';
  if (asked !== null) clamps.push({ field: 'quantum_ms', requested: asked, effective, rule });
  return effective;
}

function spendOf(body: JsonObject, job: JobState, seen: Seen, clamps: ClampState[], tier: Tier) {
  const policyMax = BigInt(tier.spend_micros_per_job_max);
  const remaining = seen.availableMicros(jobCapAccount(job.id)) ?? 0n;
  const asked = optionalIn(body, 'max_spend_micros', microsIn);
  if (asked === null) return { spend: smallerOf(policyMax, remaining), ownSpend: undefined };
  const clamped = clamp(asked, { rule: 'user_policy', max: policyMax }, { rule: 'job_remaining', max: remaining });
  clamps.push(spendClamp('max_spend_micros', asked, clamped));
  return { spend: clamped.effective, ownSpend: smallerOf(asked, policyMax) };
}

interface Bounds {
  allowance: Allowance;
  limits: Limits;
  quotas: Quotas;
}

/** `isolation` is what the machine enforces; asked for is the weakest level that will do. */
function weakerThanAsked(body: JsonObject, allowance: Allowance): Rejection | undefined {
  const offered = textIn(body, 'isolation');
  const asked = optionalIn(body, 'asked_isolation', textIn) || offered;
  const levels = allowance.tier.isolation;
  const unsold = [asked, offered].find((level) => !levels.includes(level));
  if (unsold !== undefined) return overPolicy(allowance, 'isolation', unsold, levels.join(' '));
  if (isAsStrong(offered, asked)) return undefined;
  const missing = `a machine of level ${asked} or stronger`;
  const facts = { level: asked, missing, cap: 'isolation', asked, available: offered };
  return { rejection: 'ISOLATION_UNAVAILABLE', facts };
}

/** Time, isolation, how many, how much: the order is part of the contract. */
function overLimits(body: JsonObject, job: JobState, seen: Seen, bounds: Bounds): Rejection | undefined {
  const { allowance, limits, quotas } = bounds;
  if (BigInt(limits.ttlMs) * US_PER_MS < stepUsMin(limits.quantumMs))
    return { rejection: 'TTL_REACHED', facts: { expires_at: timeTextOf(BigInt(job.expires_at_us)) } };
  const weaker = weakerThanAsked(body, allowance);
  if (weaker) return weaker;
  const isKeptIn = notLetOut(body, allowance);
  if (isKeptIn) return isKeptIn;
  if (quotas.slots.left < 1n) return overPolicy(allowance, 'sandboxes_max', Number(quotas.slots.used) + 1, 0);
  const slots = Number(seen.availableMicros(jobSlotAccount(job.id)) ?? 0n);
  if (slots < 1)
    return {
      rejection: 'SANDBOX_COUNT_EXCEEDED',
      facts: { cap: job.sandboxes_max, running: job.sandboxes_max - slots },
    };
  return overSpending(job, seen, bounds);
}

function overSpending(job: JobState, seen: Seen, { allowance, limits, quotas }: Bounds): Rejection | undefined {
  const { price, ownSpend } = limits;
  if (ownSpend !== undefined && ownSpend < price)
    return { rejection: 'SANDBOX_CAP_EXCEEDED', facts: capFacts(ownSpend, price, ownSpend) };
  const remaining = seen.availableMicros(jobCapAccount(job.id)) ?? 0n;
  if (remaining < price)
    return { rejection: 'JOB_CAP_EXCEEDED', facts: capFacts(BigInt(job.max_total_spend_micros), price, remaining) };
  const { left } = quotas.spending;
  if (left < price) return overPolicy(allowance, 'spend_micros_per_day_max', String(price), String(left));
  return underfunded(price, seen.availableMicros(userAccount(job.owner)) ?? 0n);
}

const capFacts = (cap: bigint, required: bigint, available: bigint): JsonObject => ({
  cap_micros: String(cap),
  required_micros: String(required),
  available_micros: String(available),
});

function underfunded(required: bigint, available: bigint): Rejection | undefined {
  if (available >= required) return undefined;
  const facts = {
    required_micros: String(required),
    available_micros: String(available),
    shortfall_micros: String(required - available),
  };
  return { rejection: 'INSUFFICIENT_FUNDS', facts };
}

function openedBody(command: Command, job: JobState, image: ChosenImage, limits: Limits, seen: Seen): JsonObject {
  const { body } = command;
  const atUs = String(seen.atUs);
  return {
    id: command.stream.slice(PREFIX.length),
    owner: command.principal,
    job: job.id,
    label: textIn(body, 'label'),
    provider: textIn(body, 'provider'),
    isolation: textIn(body, 'isolation'),
    image: image.name,
    image_digest: image.digest,
    ...startMembers(command, seen),
    security_mode: textIn(body, 'security_mode'),
    incarnation: countIn(body, 'incarnation'),
    ...limits.shape,
    price_micros_per_minute: String(limits.pricePerMinute),
    quantum_ms: limits.quantumMs,
    price_micros_per_quantum: String(limits.price),
    max_spend_micros: String(limits.spend),
    follows_job_cap: limits.ownSpend === undefined,
    ttl_ms: limits.ttlMs,
    expires_at_us: String(seen.atUs + BigInt(limits.ttlMs) * US_PER_MS),
    idle_timeout_ms: optionalIn(body, 'idle_timeout_ms', countIn),
    touches_job: job.idle_timeout_ms !== null,
    last_activity_at_us: atUs,
    last_activity_cause: 'create',
    created_at_us: atUs,
    grace_ms: countIn(body, 'grace_ms'),
    clamps: limits.clamps,
  };
}

function opened(
  state: SandboxState,
  body: JsonObject,
  { limits, quotas }: Omit<Bounds, 'allowance'>,
  seen: Seen,
): Decision {
  const open: DomainEvent = { type: 'SandboxOpened', body };
  const fresh = evolveSandbox(state, open);
  const step = firstStep(limits.quantumMs, limits.price, seen.atUs);
  const sold = soldEvent(fresh, step, { day: quotas.day, settledSeq: 0, settledMicros: 0n, capAddedMicros: 0n });
  const after = evolveSandbox(fresh, sold);
  const [escrow, cap] = [escrowAccount(after.id), sandboxCapAccount(after.id)];
  return {
    events: [open, sold],
    opens: [
      ...quotas.slots.opens,
      ...quotas.spending.opens,
      { account: escrow, asset: 'usd', noOverdraft: true },
      { account: cap, asset: 'cap', noOverdraft: true },
    ],
    postings: [
      ...quotas.slots.postings,
      ...quotas.spending.postings,
      { asset: 'cap', debit: CAP_ISSUER, credit: cap, amountMicros: limits.spend },
      { asset: 'slot', debit: jobSlotAccount(after.job), credit: SLOT_RUNNING, amountMicros: 1n },
      slotTaking(after.owner),
      ...paymentOf(after, limits.price, quotas.day),
    ],
    timers: [startTimer(after), ttlTimer(after, seen.atUs)],
    outbox: [createMessage(after, step)],
    answer: { sandbox: after, cap_available_micros: String(limits.spend - limits.price) },
    rule: ruleOf(limits.clamps),
  };
}

const createMessage = (state: SandboxState, step: Step): OutboxMessage => ({
  topic: 'create-sandbox',
  body: {
    sandbox: state.id,
    incarnation: state.incarnation,
    provider: state.provider,
    image: state.image,
    image_digest: state.image_digest ?? '',
    ...(state.from_snapshot ? { from: { snapshot: state.from_snapshot, sha256: state.from_sha256 ?? '' } } : {}),
    ...(state.egress ? { egress: state.egress } : {}),
    ...(state.on_end ? { keep_as: endSnapshotOf(state.id) } : {}),
    cpu_millis: state.cpu_millis,
    ram_mib: state.ram_mib,
    disk_mib: state.disk_mib,
    grace_ms: state.grace_ms,
    ticket: ticketOf(state, step),
  },
});
