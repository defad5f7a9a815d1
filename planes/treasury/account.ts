/**
 * A principal's money account.
 * Promise: only the platform credits, and a deposit is credited once, whatever is repeated; what nobody was known for goes to
 * whoever proves to have sent it, once.
 */
import {
  type Command,
  chainAccount,
  claimAccount,
  type Decider,
  type Decision,
  type DomainEvent,
  depositAccount,
  type JsonObject,
  microsIn,
  optionalIn,
  paymentAccount,
  type Reads,
  type Rejection,
  SAFE_MICROS_MAX,
  type Seen,
  SUSPENSE,
  textIn,
  userAccount,
  WORLD_DEPOSITS,
} from '@tallystick/kernel';
import { claimRefusal, mayClaim } from './claim.ts';
import { type DepositState, depositStream } from './deposit.ts';

export type AccountState = {
  principal: string;
  is_open: boolean;
  /** All that was ever credited. */
  deposited_micros: string;
  deposits: number;
};

const PREFIX = 'account:';

export const account: Decider<AccountState> = {
  kind: 'account',
  initial: { principal: '', is_open: false, deposited_micros: '0', deposits: 0 },
  reads,
  decide(state, command, seen) {
    if (command.type === 'ClaimDeposit') return claimDeposit(state, command, seen);
    if (command.type === 'RequestTopUp') return requestTopUp(state, command);
    if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
    if (command.type === 'OpenAccount') return openAccount(state, command);
    if (command.type === 'RequestGift') return requestGift(state, command);
    if (command.type === 'CreditDeposit') return creditDeposit(state, command, seen);
    throw new TypeError(`an account knows no command ${command.type}`);
  },
  evolve,
  owner: (state) => state.principal || null,
};

function evolve(state: AccountState, { type, body }: DomainEvent): AccountState {
  if (type === 'AccountOpened') return { ...state, principal: textIn(body, 'principal'), is_open: true };
  if (type === 'GiftRequested' || type === 'TopUpRequested') return state;
  const deposited = BigInt(state.deposited_micros) + microsIn(body, 'amount_micros');
  return { ...state, deposited_micros: String(deposited), deposits: state.deposits + 1 };
}

function reads(command: Command): Reads {
  const { type, body } = command;
  if (type !== 'CreditDeposit' && type !== 'ClaimDeposit') return {};
  const [id, user] = [textIn(body, 'deposit_id'), userAccount(principalOf(command))];
  if (type === 'ClaimDeposit')
    return { streams: [depositStream(id)], accounts: [user, userAccount(SUSPENSE), claimAccount(id)] };
  const accounts = [user, depositAccount(id), ...paymentMarkers(body)];
  return isOnChain(body) ? { streams: [depositStream(id)], accounts } : { accounts };
}

/** Of a deposit that an authorization moved: the token takes it once, so it is credited once, in whichever transaction it comes. */
function paymentMarkers(body: JsonObject): string[] {
  const payment = body['payment'] as JsonObject | undefined;
  return payment ? [paymentAccount(textIn(body, 'source'), textIn(payment, 'payer'), textIn(payment, 'nonce'))] : [];
}

/** Development money comes from nowhere; everything else was seen on a chain, and its deposit says what. */
const isOnChain = (body: JsonObject): boolean => textIn(body, 'source') !== 'development';

const principalOf = (command: Command): string => command.stream.slice(PREFIX.length);

function openAccount(state: AccountState, command: Command): Decision {
  const principal = principalOf(command);
  if (state.is_open) return { rejection: 'ALREADY_EXISTS', facts: { id: principal } };
  return {
    events: [{ type: 'AccountOpened', body: { principal } }],
    opens: [{ account: userAccount(principal), asset: 'usd', noOverdraft: true }],
    answer: { principal },
  };
}

/** Development money is asked for once; the transfer that it leads to is credited like any other. */
function requestGift(state: AccountState, { body }: Command): Decision {
  const [amountMicros, reference] = [microsIn(body, 'amount_micros'), textIn(body, 'reference')];
  if (!state.is_open) return { rejection: 'NOT_FOUND' };
  const refusal = amountRefusal(state, amountMicros);
  if (refusal) return refusal;
  return { events: [{ type: 'GiftRequested', body: { amount_micros: String(amountMicros), reference } }] };
}

/** Its principal asks what to pay; the deposit that it leads to is credited like any other. */
function requestTopUp(state: AccountState, command: Command): Decision {
  const amountMicros = microsIn(command.body, 'amount_micros');
  if (!state.is_open || command.principal !== principalOf(command)) return { rejection: 'NOT_FOUND' };
  const refusal = amountRefusal(state, amountMicros);
  if (refusal) return refusal;
  const asked = { amount_micros: String(amountMicros) };
  return { events: [{ type: 'TopUpRequested', body: asked }], answer: asked };
}

function creditDeposit(state: AccountState, command: Command, seen: Seen): Decision {
  const { body } = command;
  const [depositId, amountMicros] = [textIn(body, 'deposit_id'), microsIn(body, 'amount_micros')];
  const [source, reference] = [textIn(body, 'source'), textIn(body, 'reference')];
  if (!state.is_open) return { rejection: 'NOT_FOUND' };
  const refusal = amountRefusal(state, amountMicros);
  if (refusal) return refusal;
  const marker = depositAccount(depositId);
  if (seen.availableMicros(marker) !== undefined) return { rejection: 'ALREADY_EXISTS', facts: { id: depositId } };
  const debit = sourceAccount(state, command, seen);
  if (debit === undefined) return { rejection: 'NOT_FOUND' };
  const markers = [marker, ...paymentMarkers(body)];
  if (markers.some((one) => seen.availableMicros(one) !== undefined))
    return { rejection: 'PAYMENT_CREDITED', facts: { id: depositId } };
  const quoted = optionalIn(body, 'quote_id', textIn) === null ? {} : quotedOf(command, seen);
  const user = userAccount(state.principal);
  const balanceMicros = (seen.availableMicros(user) ?? 0n) + amountMicros;
  const credited = { deposit_id: depositId, amount_micros: String(amountMicros), source };
  const creditedAtUs = String(seen.atUs);
  return {
    events: [
      {
        type: 'DepositCredited',
        body: {
          ...credited,
          ...quoted,
          reference,
          principal: state.principal,
          credited_at_us: creditedAtUs,
          balance_micros: String(balanceMicros),
        },
      },
    ],
    opens: markers.map((one) => ({ account: one, asset: 'usd', noOverdraft: true })),
    postings: [{ asset: 'usd', debit, credit: user, amountMicros }],
    answer: {
      ...credited,
      principal: state.principal,
      credited_at_us: creditedAtUs,
      balance_micros: String(balanceMicros),
    },
  };
}

function amountRefusal(state: AccountState, amountMicros: bigint): Rejection | undefined {
  if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(amountMicros) } };
  const capMicros = SAFE_MICROS_MAX - BigInt(state.deposited_micros);
  if (amountMicros <= capMicros) return undefined;
  return {
    rejection: 'AMOUNT_TOO_LARGE',
    facts: { cap_micros: String(capMicros), asked_micros: String(amountMicros) },
  };
}

/** Undefined when the chain's deposit is not there, or is another amount, or somebody else's. */
function sourceAccount(state: AccountState, { body }: Command, seen: Seen): string | undefined {
  if (!isOnChain(body)) return WORLD_DEPOSITS;
  const found = seen.state(depositStream(textIn(body, 'deposit_id'))) as DepositState;
  const isIt =
    found.status === 'seen' &&
    found.principal === state.principal &&
    found.amount_micros === textIn(body, 'amount_micros') &&
    (found.quote_id ?? null) === optionalIn(body, 'quote_id', textIn) &&
    isItsPayment(found, body);
  return isIt ? chainAccount(found.rail, found.door) : undefined;
}

/** What moved it, when the command says that an authorization did. */
function isItsPayment({ payer, authorization }: DepositState, body: JsonObject): boolean {
  const payment = body['payment'] as JsonObject | undefined;
  return !payment || (payment['payer'] === payer && payment['nonce'] === authorization);
}

/** For whoever waits for this payment: the quote, and which authorization paid it. */
function quotedOf({ body }: Command, seen: Seen): JsonObject {
  const {
    quote_id = '',
    payer,
    authorization = '',
  } = seen.state(depositStream(textIn(body, 'deposit_id'))) as DepositState;
  return { quote_id, payer, authorization };
}

/** The caller proved its address when it logged in. */
function claimDeposit(state: AccountState, command: Command, seen: Seen): Decision {
  const id = textIn(command.body, 'deposit_id');
  const found = seen.state(depositStream(id)) as DepositState;
  const isCallers = state.is_open && command.principal === state.principal && mayClaim(state.principal, found);
  if (!isCallers) return { rejection: 'NOT_FOUND' };
  const marker = claimAccount(id);
  const amountMicros = BigInt(found.amount_micros);
  const isTaken = seen.availableMicros(marker) !== undefined;
  const refusal = claimRefusal(found, isTaken) ?? amountRefusal(state, amountMicros);
  if (refusal) return refusal;
  const [debit, credit] = [userAccount(SUSPENSE), userAccount(state.principal)];
  const claimed = { deposit_id: id, amount_micros: String(amountMicros), source: found.rail };
  const creditedAtUs = String(seen.atUs);
  const balanceMicros = String((seen.availableMicros(credit) ?? 0n) + amountMicros);
  return {
    events: [
      { type: 'DepositClaimed', body: { ...claimed, principal: state.principal, credited_at_us: creditedAtUs } },
    ],
    opens: [{ account: marker, asset: 'usd', noOverdraft: true }],
    postings: [{ asset: 'usd', debit, credit, amountMicros }],
    answer: { ...claimed, principal: state.principal, credited_at_us: creditedAtUs, balance_micros: balanceMicros },
  };
}
