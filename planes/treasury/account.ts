/**
 * A principal's money account.
 * Promise: only the platform credits, and a deposit is credited once, whatever is repeated.
 */
import {
  type Command,
  type Decider,
  type Decision,
  depositAccount,
  microsIn,
  SAFE_MICROS_MAX,
  type Seen,
  textIn,
  userAccount,
  WORLD_DEPOSITS,
} from '@tallystick/kernel';

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
  reads: (command) =>
    command.type === 'CreditDeposit'
      ? { accounts: [userAccount(principalOf(command)), depositAccount(textIn(command.body, 'deposit_id'))] }
      : {},
  decide(state, command, seen) {
    if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
    if (command.type === 'OpenAccount') return openAccount(state, command);
    if (command.type === 'CreditDeposit') return creditDeposit(state, command, seen);
    throw new TypeError(`an account knows no command ${command.type}`);
  },
  evolve: (state, event) =>
    event.type === 'AccountOpened'
      ? { ...state, principal: textIn(event.body, 'principal'), is_open: true }
      : {
          ...state,
          deposited_micros: String(BigInt(state.deposited_micros) + microsIn(event.body, 'amount_micros')),
          deposits: state.deposits + 1,
        },
  owner: (state) => state.principal || null,
};

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

function creditDeposit(state: AccountState, command: Command, seen: Seen): Decision {
  const { body } = command;
  const [depositId, amountMicros] = [textIn(body, 'deposit_id'), microsIn(body, 'amount_micros')];
  const [source, reference] = [textIn(body, 'source'), textIn(body, 'reference')];
  if (!state.is_open) return { rejection: 'NOT_FOUND' };
  if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(amountMicros) } };
  const capMicros = SAFE_MICROS_MAX - BigInt(state.deposited_micros);
  if (amountMicros > capMicros)
    return {
      rejection: 'AMOUNT_TOO_LARGE',
      facts: { cap_micros: String(capMicros), asked_micros: String(amountMicros) },
    };
  const marker = depositAccount(depositId);
  if (seen.availableMicros(marker) !== undefined) return { rejection: 'ALREADY_EXISTS', facts: { id: depositId } };
  const user = userAccount(state.principal);
  const balanceMicros = (seen.availableMicros(user) ?? 0n) + amountMicros;
  const credited = { deposit_id: depositId, amount_micros: String(amountMicros), source };
  const creditedAtUs = String(seen.atUs);
  return {
    events: [{ type: 'DepositCredited', body: { ...credited, reference, credited_at_us: creditedAtUs } }],
    opens: [{ account: marker, asset: 'usd', noOverdraft: true }],
    postings: [{ asset: 'usd', debit: WORLD_DEPOSITS, credit: user, amountMicros }],
    answer: {
      ...credited,
      principal: state.principal,
      credited_at_us: creditedAtUs,
      balance_micros: String(balanceMicros),
    },
  };
}
