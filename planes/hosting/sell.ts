/**
 * Selling time: the first step with the sandbox itself, every further one before the paid time is over.
 * Promise: money, caps and the lease move in one decision or not at all; the order of checks is part of the contract.
 */
import {
  type Accepted,
  CAP_ISSUER,
  CAP_SPENT,
  type Command,
  type Decision,
  type DomainEvent,
  dayOf,
  escrowAccount,
  jobCapAccount,
  optionalIn,
  type Posting,
  providerAccount,
  type Quota,
  type Reads,
  type Seen,
  sandboxCapAccount,
  standingStream,
  textIn,
  userAccount,
} from '@tallystick/kernel';
import { NOT_FOUND, notRunning } from './access.ts';
import { type StopReason, stopping } from './ending.ts';
import { type JobState, jobIdleAtUs } from './job-state.ts';
import {
  graceEndsUs,
  largerOf,
  nextStep,
  sandboxIdleAtUs,
  sellAtUs,
  settlementAt,
  smallerOf,
  stepUsMin,
  ticketOf,
} from './lease.ts';
import { type Allowance, allowanceIn, allowsShape } from './policy.ts';
import { providerIn, providerStream } from './provider.ts';
import { dayAccounts, dayQuota, daySpending } from './quota.ts';
import { evolveSandbox, type SandboxState, type Step } from './sandbox-state.ts';
import { leaseTimer, retryTimer } from './timers.ts';

/** What selling a step looks at. */
export function salesReads(sandbox: string, { body }: Command): Reads {
  const [job, payer] = [textIn(body, 'job'), textIn(body, 'payer')];
  const [provider, day] = [optionalIn(body, 'provider', textIn), optionalIn(body, 'day', textIn)];
  return {
    streams: [`job:${job}`, standingStream(payer), ...(provider === null ? [] : [providerStream(provider)])],
    accounts: [
      ...[userAccount(payer), jobCapAccount(job), sandboxCapAccount(sandbox)],
      ...(day === null ? [] : dayAccounts(payer, day)),
    ],
  };
}

/** The postings that pay for a step: money into escrow, permission used up. */
export function paymentOf(state: SandboxState, priceMicros: bigint, day: string): Posting[] {
  return [
    { asset: 'usd', debit: userAccount(state.owner), credit: escrowAccount(state.id), amountMicros: priceMicros },
    { asset: 'cap', debit: jobCapAccount(state.job), credit: CAP_SPENT, amountMicros: priceMicros },
    { asset: 'cap', debit: sandboxCapAccount(state.id), credit: CAP_SPENT, amountMicros: priceMicros },
    daySpending(state.owner, day, priceMicros),
  ];
}

/** The event of a sold step. */
export const soldEvent = (
  state: SandboxState,
  step: Step,
  more: { day: string; settledSeq: number; settledMicros: bigint; capAddedMicros: bigint },
): DomainEvent => ({
  type: 'MinuteSold',
  body: {
    seq: step.seq,
    starts_at_us: step.starts_at_us,
    paid_until_us: step.ends_at_us,
    duration_ms: state.quantum_ms,
    price_micros: step.price_micros,
    day: more.day,
    settled_seq: more.settledSeq,
    settled_micros: String(more.settledMicros),
    cap_added_micros: String(more.capAddedMicros),
  },
});

/** Sells the next step, or says why none will be sold any more, or waits for money within the grace time. */
export function sellMinute(state: SandboxState, command: Command, seen: Seen): Decision {
  const isAsked = command.principal === 'timer' || command.principal === 'reaction';
  if (!isAsked || !isAbout(state, command)) return NOT_FOUND;
  const refused = notRunning(state, 'running', 'frozen');
  if (refused) return refused;
  const isOfToday = optionalIn(command.body, 'day', textIn) === dayOf(seen.atUs);
  if (seen.atUs < sellAtUs(state) || !isOfToday) return { events: [], timers: [leaseTimer(state, seen.atUs)] };
  const paidUntilUs = BigInt(state.paid_until_us);
  if (seen.atUs >= graceEndsUs(state) && seen.atUs > paidUntilUs)
    return stopping(state, seen, state.is_unfunded ? 'insufficient_funds' : 'provider_lost', seen.atUs);
  const job = seen.state(`job:${state.job}`) as JobState;
  const sale = saleToday(state, seen);
  const stop = stopBefore(state, job, seen, sale);
  if (stop) return stopping(state, seen, stop.reason, smallerOf(stop.latestUs ?? paidUntilUs, paidUntilUs), stop.rule);
  const available = seen.availableMicros(userAccount(state.owner)) ?? 0n;
  const priceMicros = BigInt(state.price_micros_per_quantum);
  if (available >= priceMicros) return sold(state, seen, sale);
  return waitForFunds(state, seen, { available, isNews: !state.is_unfunded || command.principal === 'reaction' });
}

const isAbout = (state: SandboxState, { body }: Command): boolean =>
  state.job === textIn(body, 'job') &&
  state.owner === textIn(body, 'payer') &&
  state.provider === (optionalIn(body, 'provider', textIn) ?? state.provider);

/** What the policy says of a sale today. */
interface Sale {
  allowance: Allowance;
  day: string;
  quota: Quota;
}

function saleToday(state: SandboxState, seen: Seen): Sale {
  const [allowance, day] = [allowanceIn(seen, state.owner), dayOf(seen.atUs)];
  return { allowance, day, quota: dayQuota(seen, state.owner, day, allowance.tier) };
}

interface Stop {
  reason: string;
  /** Which rule it was, where the reason alone does not say so. */
  rule?: string;
  /** It must not run longer than this although it is paid. */
  latestUs?: bigint;
}

/** The first reason for which no further step is sold. */
function stopBefore(state: SandboxState, job: JobState, seen: Seen, sale: Sale): Stop | undefined {
  if (job.status !== 'active') return { reason: job.stop_reason, latestUs: seen.atUs };
  const capReason = capReasonOf(state, seen);
  if (capReason) return { reason: capReason };
  const startsAtUs = largerOf(seen.atUs, BigInt(state.paid_until_us));
  const isTooShort = (expiresAtUs: bigint): boolean => expiresAtUs - startsAtUs < stepUsMin(state.quantum_ms);
  const [jobEndUs, ownEndUs] = [BigInt(job.expires_at_us), BigInt(state.expires_at_us)];
  if (isTooShort(jobEndUs)) return { reason: 'job_ttl', latestUs: jobEndUs };
  if (isTooShort(ownEndUs)) return { reason: 'sandbox_ttl', latestUs: ownEndUs };
  const isIdle = [sandboxIdleAtUs(state), jobIdleAtUs(job)].some(
    (idleAtUs) => idleAtUs !== undefined && idleAtUs <= seen.atUs,
  );
  if (isIdle) return { reason: 'idle' };
  const rule = policyRuleAgainst(state, seen, sale);
  return rule === undefined ? undefined : { reason: 'policy', rule };
}

/** The first rule of the policy that forbids a further step. */
function policyRuleAgainst(state: SandboxState, seen: Seen, { allowance, quota }: Sale): string | undefined {
  if (allowance.suspendedFor !== undefined) return 'account_suspended';
  if (providerIn(seen, state.provider).status === 'killed') return 'provider_killed';
  if (!allowsShape(allowance.tier, state)) return 'shape';
  return quota.left < BigInt(state.price_micros_per_quantum) ? 'spend_micros_per_day_max' : undefined;
}

/** A sandbox without a cap of its own lives on what its job may spend, so only the job can run out. */
function capReasonOf(state: SandboxState, seen: Seen): StopReason | undefined {
  const priceMicros = BigInt(state.price_micros_per_quantum);
  const isShort = (account: string): boolean => (seen.availableMicros(account) ?? 0n) < priceMicros;
  const [isSandboxShort, isJobShort] = [isShort(sandboxCapAccount(state.id)), isShort(jobCapAccount(state.job))];
  if (isSandboxShort && !state.follows_job_cap) return 'sandbox_cap';
  return isJobShort ? 'job_cap' : undefined;
}

/** `isNews`: whoever brings money has to be told that this one waits (again). */
function waitForFunds(
  state: SandboxState,
  seen: Seen,
  { available, isNews }: { available: bigint; isNews: boolean },
): Accepted {
  const required = BigInt(state.price_micros_per_quantum);
  const body = {
    required_micros: String(required),
    available_micros: String(available),
    shortfall_micros: String(required - available),
    paid_until_us: state.paid_until_us,
    job: state.job,
    provider: state.provider,
  };
  return {
    events: isNews ? [{ type: 'FundsMissing', body }] : [],
    timers: [retryTimer(state, seen.atUs)],
    rule: 'insufficient_funds',
  };
}

function sold(state: SandboxState, seen: Seen, { day, quota }: Sale): Accepted {
  const step = nextStep(state, seen.atUs);
  const priceMicros = BigInt(step.price_micros);
  const { seq: settledSeq, amountMicros: settledMicros } = settlementAt(state, seen.atUs);
  const cap = sandboxCapAccount(state.id);
  const shortMicros = largerOf(0n, priceMicros - (seen.availableMicros(cap) ?? 0n));
  const event = soldEvent(state, step, { day, settledSeq, settledMicros, capAddedMicros: shortMicros });
  const after = evolveSandbox(state, event);
  const postings: Posting[] = [
    { asset: 'cap', debit: CAP_ISSUER, credit: cap, amountMicros: shortMicros },
    ...quota.postings,
    ...paymentOf(state, priceMicros, day),
    {
      asset: 'usd',
      debit: escrowAccount(state.id),
      credit: providerAccount(state.provider),
      amountMicros: settledMicros,
    },
  ];
  return {
    events: [event],
    opens: quota.opens,
    postings: postings.filter(({ amountMicros }) => amountMicros > 0n),
    timers: [leaseTimer(after, seen.atUs)],
    outbox: [renewMessage(after, step)],
  };
}

const renewMessage = (state: SandboxState, step: Step) => ({
  topic: 'renew-lease',
  body: {
    sandbox: state.id,
    incarnation: state.incarnation,
    provider: state.provider,
    ticket: ticketOf(state, step),
  },
});
