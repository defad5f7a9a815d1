/**
 * Dollars on their way out: held at once, signed, and gone or back.
 * Promise: what is held leaves once or comes back once; the month's cap and the reserve hold whatever else happens meanwhile.
 */
import {
  CAP_ISSUER,
  type Command,
  chainAccount,
  type Decider,
  type Decision,
  type DomainEvent,
  dayOf,
  isRejection,
  type JsonObject,
  microsIn,
  monthEndUs,
  monthOf,
  monthOutAccount,
  monthOutCapAccount,
  type NewAccount,
  optionalIn,
  type Posting,
  type Quota,
  type QuotaPair,
  quotaAccounts,
  quotaGivenBack,
  quotaOf,
  quotaTaken,
  type Reads,
  type Rejection,
  type Seen,
  standingStream,
  suspended,
  textIn,
  timeTextOf,
  userAccount,
  withdrawalAccount,
  withdrawingAccount,
  withdrawnAccount,
} from '@tallystick/kernel';
import {
  BROADCAST_TOPIC,
  type Broadcast,
  broadcastReads,
  decideBroadcast,
  evolveBroadcast,
  isBroadcastCommand,
  isBroadcastEvent,
  NO_BROADCAST,
} from './broadcast.ts';
import { ownAddressReads, ownAddressRefusal } from './own-address.ts';
import { payoutRefusal, payoutStream } from './payout-address.ts';
import { PAYOUT_POLICY, type PayoutAllowance, payoutAllowanceIn } from './policy.ts';
import { type RailState, railStream } from './rail.ts';
import { reservesRefusal, uncheckedRefusal } from './reserves.ts';
import { countAccounts, countedOff, countedOne } from './withdrawal-count.ts';

/** `held`: waits to be signed; `signed`: may be mined at any time; `final`: it is where it should be; `returned`: it failed or was taken back, the account has it. */
export type WithdrawalStatus = '' | 'held' | 'signed' | 'final' | 'returned';

export type WithdrawalState = {
  status: WithdrawalStatus;
  id: string;
  principal: string;
  rail: string;
  /** Lower case. */
  to: string;
  amount_micros: string;
  /** The UTC month to whose cap it counts. */
  month: string;
  /** The UTC day to whose cap it counts; empty for those from before there was one. */
  day: string;
  requested_at_us: string;
  broadcast: Broadcast;
};

const PREFIX = 'withdrawal:';
const NOT_FOUND: Rejection = { rejection: 'NOT_FOUND' };

export const withdrawalStream = (id: string): string => `${PREFIX}${id}`;

export const withdrawal: Decider<WithdrawalState> = {
  kind: 'withdrawal',
  initial: {
    status: '',
    id: '',
    principal: '',
    rail: '',
    to: '',
    amount_micros: '0',
    month: '',
    day: '',
    requested_at_us: '0',
    broadcast: NO_BROADCAST,
  },
  reads,
  decide(state, command, seen) {
    if (command.type === 'RequestWithdrawal') return request(state, command, seen);
    if (command.type === 'CancelWithdrawal') return cancel(state, command);
    if (!isBroadcastCommand(command)) throw new TypeError(`a withdrawal knows no command ${command.type}`);
    if (state.status === '' || command.principal !== 'platform') return NOT_FOUND;
    if (command.type === 'SignTransaction') return sign(state, command, seen);
    const decision = decideBroadcast(state.broadcast, command, seen);
    if (isRejection(decision) || command.type !== 'ConcludeTransaction') return decision;
    const postings = command.body['succeeded'] === true ? gone(state) : back(state);
    return { ...decision, postings };
  },
  evolve,
  owner: (state) => state.principal || null,
};

function reads(command: Command): Reads {
  const { type, principal, body } = command;
  if (isBroadcastCommand(command)) {
    const { streams, accounts } = broadcastReads(command);
    if (type !== 'SignTransaction') return { streams, accounts };
    const [rail, owner] = [railStream(textIn(body, 'rail')), standingStream(textIn(body, 'principal'))];
    return { accounts, streams: [...streams, rail, owner] };
  }
  if (type === 'CancelWithdrawal') return {};
  const [rail, to, month] = [textIn(body, 'rail'), textIn(body, 'to'), textIn(body, 'month')];
  const months = [month, monthOf(monthEndUs(month))];
  return {
    streams: [standingStream(principal), payoutStream(principal, rail, to), ...ownAddressReads(rail, to).streams],
    accounts: [
      ...[userAccount(principal), withdrawingAccount(principal), withdrawnAccount(principal)],
      ...months.flatMap((one) => quotaAccounts(monthPair(principal, one))),
      ...countAccounts(principal, textIn(body, 'day')),
    ],
  };
}

const monthPair = (principal: string, month: string): QuotaPair => ({
  asset: 'cap',
  issuer: CAP_ISSUER,
  left: monthOutCapAccount(principal, month),
  used: monthOutAccount(principal, month),
});

/** The order of checks is the order of the lines. */
function request(state: WithdrawalState, command: Command, seen: Seen): Decision {
  const { principal, body } = command;
  const available = seen.availableMicros(userAccount(principal));
  if (available === undefined || (state.status !== '' && state.principal !== principal)) return NOT_FOUND;
  if (state.status !== '') return { rejection: 'ALREADY_EXISTS', facts: { id: state.id } };
  const [rail, to, amountMicros] = [textIn(body, 'rail'), textIn(body, 'to'), microsIn(body, 'amount_micros')];
  const allowance = payoutAllowanceIn(seen, principal);
  const month = monthOf(seen.atUs);
  const pair = monthPair(principal, month);
  const quota = quotaOf(seen, pair, BigInt(allowance.tier.withdraw_micros_per_month_max));
  const refused =
    suspended(allowance) ??
    railRefusal(seen.state(railStream(rail)) as RailState) ??
    amountRefusal(amountMicros, optionalIn(body, 'min_micros', microsIn) ?? 0n) ??
    ownAddressRefusal(seen, rail, to) ??
    payoutRefusal(seen, principal, rail, to) ??
    monthRefusal(allowance, quota, amountMicros, month) ??
    balanceRefusal(reserveOf(allowance, body), available, amountMicros);
  if (refused) return refused;
  const counted = countedOne(seen, principal, allowance);
  if ('rejection' in counted) return counted;
  const id = command.stream.slice(PREFIX.length);
  const requested = { id, principal, rail, to, amount_micros: String(amountMicros), month, day: dayOf(seen.atUs) };
  const event: DomainEvent = {
    type: 'WithdrawalRequested',
    body: { ...requested, requested_at_us: String(seen.atUs) },
  };
  return {
    events: [event],
    opens: [
      { account: withdrawalAccount(id), asset: 'usd', noOverdraft: true },
      ...[...quota.opens, ...counted.opens],
      ...counters(seen, principal),
    ],
    postings: [
      { asset: 'usd', debit: userAccount(principal), credit: withdrawalAccount(id), amountMicros },
      ...[...quota.postings, quotaTaken(pair, amountMicros), ...counted.postings],
      { asset: 'cap', debit: CAP_ISSUER, credit: withdrawingAccount(principal), amountMicros },
    ],
    outbox: [{ topic: BROADCAST_TOPIC, body: { stream: command.stream } }],
    answer: { withdrawal: evolve(state, event) as JsonObject },
    rule: 'withdraw_micros_per_month_max',
  };
}

const railRefusal = (rail: RailState): Rejection | undefined =>
  rail.rail === '' ? { rejection: 'WITHDRAWALS_OFF' } : reservesRefusal(rail);

/** `leastMicros`: where a chain's gas costs more than the policy's minimum is worth. */
function amountRefusal(amountMicros: bigint, leastMicros: bigint): Rejection | undefined {
  const asked_micros = String(amountMicros);
  if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: asked_micros } };
  const ofPolicy = BigInt(PAYOUT_POLICY.withdraw_micros_min);
  const capMicros = leastMicros > ofPolicy ? leastMicros : ofPolicy;
  if (amountMicros >= capMicros) return undefined;
  const facts = { cap: 'withdraw_micros_min', cap_micros: String(capMicros), asked_micros };
  return { rejection: 'WITHDRAWAL_TOO_SMALL', facts };
}

/** The next month begins with nothing withdrawn. */
function monthRefusal(
  { tierName }: PayoutAllowance,
  { left }: Quota,
  amountMicros: bigint,
  month: string,
): Rejection | undefined {
  if (amountMicros <= left) return undefined;
  const facts = {
    cap: 'withdraw_micros_per_month_max',
    asked_micros: String(amountMicros),
    available_micros: String(left),
    tier: tierName,
    next_month_at: timeTextOf(monthEndUs(month)),
  };
  return { rejection: 'WITHDRAWAL_CAP_EXCEEDED', facts };
}

/** What stays in any case: the tier's, or more where the platform asks for more. */
function reserveOf({ tier }: PayoutAllowance, body: JsonObject): bigint {
  const [ofTier, asked] = [BigInt(tier.withdraw_reserve_micros), optionalIn(body, 'reserve_micros', microsIn) ?? 0n];
  return ofTier > asked ? ofTier : asked;
}

function balanceRefusal(reserve: bigint, available: bigint, amountMicros: bigint): Rejection | undefined {
  const asked_micros = String(amountMicros);
  if (amountMicros > available)
    return {
      rejection: 'WITHDRAWAL_OVER_BALANCE',
      facts: { cap: 'available_micros', asked_micros, available_micros: String(available) },
    };
  const spare = available - reserve;
  if (amountMicros <= spare) return undefined;
  const available_micros = String(spare > 0n ? spare : 0n);
  return {
    rejection: 'WITHDRAWAL_RESERVE',
    facts: { cap: 'withdraw_reserve_micros', asked_micros, available_micros, reserve_micros: String(reserve) },
  };
}

/** What a principal has withdrawn over all its life. */
function counters(seen: Seen, principal: string): NewAccount[] {
  const names = [withdrawingAccount(principal), withdrawnAccount(principal)];
  return names
    .filter((name) => seen.availableMicros(name) === undefined)
    .map((account) => ({ account, asset: 'cap', noOverdraft: true }));
}

/** With the treasury's key on its own chain, and not while money is missing, nobody has looked, or its owner is suspended. The command names the owner, to be read. */
function sign(state: WithdrawalState, command: Command, seen: Seen): Decision {
  const [rail, signer, owner] = ['rail', 'signer', 'principal'].map((name) => textIn(command.body, name));
  const there = seen.state(railStream(rail!)) as RailState;
  if (rail !== state.rail || signer !== there.treasury || owner !== state.principal) return NOT_FOUND;
  if (state.status !== 'held') return { rejection: 'NOTHING_TO_CHANGE' };
  const refused =
    suspended(payoutAllowanceIn(seen, state.principal)) ?? reservesRefusal(there) ?? uncheckedRefusal(there, seen.atUs);
  return refused ?? decideBroadcast(state.broadcast, command, seen);
}

/** Nothing has been signed: whoever comes to sign it finds it over. */
function cancel(state: WithdrawalState, { principal }: Command): Decision {
  if (state.status === '' || principal !== state.principal) return NOT_FOUND;
  if (state.status !== 'held') return { rejection: 'WITHDRAWAL_UNDER_WAY', facts: { status: state.status } };
  const event: DomainEvent = { type: 'WithdrawalCancelled', body: {} };
  return {
    events: [event],
    postings: back(state),
    answer: { withdrawal: evolve(state, event) as JsonObject },
  };
}

const gone = ({ id, principal, rail, amount_micros, day }: WithdrawalState): Posting[] => {
  const amountMicros = BigInt(amount_micros);
  return [
    { asset: 'usd', debit: withdrawalAccount(id), credit: chainAccount(rail, 'treasury'), amountMicros },
    { asset: 'cap', debit: withdrawingAccount(principal), credit: withdrawnAccount(principal), amountMicros },
    ...offCount(principal, day),
  ];
};

/** The month in which it was asked for has its cap back, whichever month it is. */
const back = ({ id, principal, month, amount_micros, day }: WithdrawalState): Posting[] => {
  const amountMicros = BigInt(amount_micros);
  return [
    { asset: 'usd', debit: withdrawalAccount(id), credit: userAccount(principal), amountMicros },
    quotaGivenBack(monthPair(principal, month), amountMicros),
    { asset: 'cap', debit: withdrawingAccount(principal), credit: CAP_ISSUER, amountMicros },
    ...offCount(principal, day),
  ];
};

const offCount = (principal: string, day: string): Posting[] => (day === '' ? [] : [countedOff(principal)]);

function evolve(state: WithdrawalState, event: DomainEvent): WithdrawalState {
  const { type, body } = event;
  if (type === 'WithdrawalRequested') return { ...state, ...(body as Partial<WithdrawalState>), status: 'held' };
  if (type === 'WithdrawalCancelled') return { ...state, status: 'returned' };
  if (!isBroadcastEvent(event)) throw new TypeError(`a withdrawal knows no event ${type}`);
  const broadcast = evolveBroadcast(state.broadcast, event);
  const { phase } = broadcast;
  return { ...state, broadcast, status: phase === 'failed' ? 'returned' : phase === 'final' ? 'final' : 'signed' };
}
