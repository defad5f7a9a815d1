/**
 * Tiny rules that drive every part of the engine: a ledger, wallets with holds, jobs with caps, leases of minutes.
 * Promise: pure, and small enough to see at a glance what a test relies on.
 */
import {
  type Accepted,
  type Command,
  type Decider,
  type Decision,
  type Json,
  type JsonObject,
  type Posting,
  type Reaction,
  type Rules,
  type Seen,
  sha256Hex,
} from '@tallystick/kernel';

export const MINUTE_US = 60_000_000n;
export const WORLD = 'world:usd';
export const ESCROW = 'escrow:usd';
const RENEW_BEFORE_US = 10_000_000n;
const CAP_GRANTED = 'cap:granted';
const CAP_SPENT = 'cap:spent';

export const capOf = (job: string): string => `${job}:cap`;

const ledger: Decider = {
  kind: 'ledger',
  initial: { open: false },
  reads: () => ({}),
  decide(state) {
    if (state['open']) return { rejection: 'ALREADY_OPEN' };
    const opens = (
      [
        [WORLD, 'usd'],
        [ESCROW, 'usd'],
        [CAP_GRANTED, 'cap'],
        [CAP_SPENT, 'cap'],
      ] as const
    ).map(([account, asset]) => ({ account, asset, noOverdraft: false }));
    return { events: [{ type: 'LedgerOpened', body: {} }], opens };
  },
  evolve: () => ({ open: true }),
  owner: () => null,
};

const wallet: Decider = {
  kind: 'wallet',
  initial: { deposits: 0, owner: null, hold: null },
  reads: (command) => (command.type === 'Hold' ? { accounts: [command.stream] } : {}),
  decide(state, command, seen) {
    const amountMicros = BigInt(text(command.body['amountMicros'] ?? '0'));
    if (command.type === 'Hold') return hold(command, seen, amountMicros);
    if (command.type === 'Resolve') return resolve(command, amountMicros);
    if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE' };
    return {
      events: [{ type: 'Deposited', body: { amountMicros: String(amountMicros), owner: command.principal } }],
      opens: state['deposits'] === 0 ? [{ account: command.stream, asset: 'usd', noOverdraft: true }] : [],
      postings: [{ asset: 'usd', debit: WORLD, credit: command.stream, amountMicros }],
    };
  },
  evolve: (state, event) =>
    event.type === 'Deposited'
      ? { ...state, deposits: Number(state['deposits']) + 1, owner: event.body['owner']! }
      : state,
  owner: (state) => state['owner'] as string | null,
};

function hold(command: Command, seen: Seen, amountMicros: bigint): Decision {
  if ((seen.availableMicros(command.stream) ?? 0n) < amountMicros) return { rejection: 'FUNDS_MISSING' };
  return {
    events: [{ type: 'Held', body: {} }],
    postings: [{ kind: 'pending', asset: 'usd', debit: command.stream, credit: ESCROW, amountMicros }],
  };
}

function resolve({ stream, body }: Command, amountMicros: bigint): Accepted {
  const posting: Posting = {
    kind: amountMicros > 0n ? 'post' : 'void',
    asset: 'usd',
    debit: stream,
    credit: ESCROW,
    amountMicros,
    hold: { pos: Number(body['pos']), ord: 0 },
  };
  return { events: [{ type: 'Resolved', body: {} }], postings: [posting] };
}

const job: Decider = {
  kind: 'job',
  initial: { open: false, owner: null },
  reads: () => ({}),
  decide(state, command) {
    if (state['open']) return { rejection: 'JOB_EXISTS' };
    const amountMicros = BigInt(text(command.body['budgetMicros']));
    if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { asked_micros: String(amountMicros) } };
    const account = capOf(command.stream);
    return {
      events: [{ type: 'JobOpened', body: { budgetMicros: String(amountMicros), owner: command.principal } }],
      opens: [{ account, asset: 'cap', noOverdraft: true }],
      postings: [{ asset: 'cap', debit: CAP_GRANTED, credit: account, amountMicros }],
    };
  },
  evolve: (_state, event) => ({ open: true, budgetMicros: event.body['budgetMicros']!, owner: event.body['owner']! }),
  owner: (state) => state['owner'] as string | null,
};

const lease: Decider = {
  kind: 'lease',
  initial: { minutes: 0, paidUntilUs: '0', stopped: false },
  reads: ({ body }) => ({ streams: [text(body['job'])], accounts: [text(body['wallet']), capOf(text(body['job']))] }),
  decide(state, command, seen) {
    if (state['stopped']) return { rejection: 'LEASE_STOPPED' };
    if (command.type === 'StopLease') return stopLease(state, command);
    if (command.type === 'Crash') throw new TypeError('a bug of the rule');
    if (!seen.state(text(command.body['job']))['open']) return { rejection: 'JOB_MISSING' };
    const amountMicros = BigInt(text(command.body['rateMicros']));
    const isChecked = command.type !== 'SellUnchecked'; // a rule that forgets to look: the database must hold alone
    if (isChecked && (seen.availableMicros(capOf(text(command.body['job']))) ?? 0n) < amountMicros)
      return { rejection: 'CAP_EXCEEDED' };
    if (isChecked && (seen.availableMicros(text(command.body['wallet'])) ?? 0n) < amountMicros)
      return { rejection: 'FUNDS_MISSING' };
    return sellMinute(state, command, seen.atUs, amountMicros);
  },
  evolve: (state, event) =>
    event.type === 'LeaseStopped'
      ? { ...state, stopped: true }
      : { ...state, minutes: Number(state['minutes']) + 1, paidUntilUs: event.body['paidUntilUs']! },
  owner: () => null,
};

function sellMinute(state: JsonObject, command: Command, atUs: bigint, amountMicros: bigint): Accepted {
  const minute = Number(state['minutes']) + 1;
  const paidBeforeUs = BigInt(text(state['paidUntilUs']));
  const paidUntilUs = (paidBeforeUs > atUs ? paidBeforeUs : atUs) + MINUTE_US;
  const ticket = { sandbox: command.stream, minute, paidUntilUs: String(paidUntilUs) };
  const { stream, type, body } = command;
  return {
    events: [
      { type: 'MinuteSold', body: { minute, amountMicros: String(amountMicros), paidUntilUs: String(paidUntilUs) } },
    ],
    postings: [
      { asset: 'usd', debit: text(body['wallet']), credit: ESCROW, amountMicros },
      { asset: 'cap', debit: capOf(text(body['job'])), credit: CAP_SPENT, amountMicros },
    ],
    timers: [{ timer: stream, round: minute, dueUs: paidUntilUs - RENEW_BEFORE_US, command: { stream, type, body } }],
    outbox: [{ topic: 'run-ticket', body: ticket }],
    answer: ticket,
    rule: 'lease_rate',
  };
}

function stopLease(state: JsonObject, { stream, type, body }: Command): Accepted {
  const timer = { timer: stream, round: Number(state['minutes']), dueUs: undefined, command: { stream, type, body } };
  return { events: [{ type: 'LeaseStopped', body: {} }], timers: [timer] };
}

/** Counts what reactions brought, so that a doubled one is seen. */
const tally: Decider = {
  kind: 'tally',
  initial: { stopped: 0 },
  reads: () => ({}),
  decide: () => ({ events: [{ type: 'Counted', body: {} }] }),
  evolve: (state) => ({ stopped: Number(state['stopped']) + 1 }),
  owner: () => null,
};

const countStopped: Reaction = {
  on: 'LeaseStopped',
  commands: (_event, { stream }) => [{ stream: 'tally:stopped', type: 'Count', body: { lease: stream } }],
};

const text = (value: Json | undefined): string => {
  if (typeof value !== 'string') throw new TypeError('a string is needed');
  return value;
};

export const TEST_RULES: Rules = {
  deciders: new Map([ledger, wallet, job, lease, tally].map((decider) => [decider.kind, decider])),
  reactions: [countStopped],
  policy: { version: 'test', hash: sha256Hex('no policy in tests') },
};
