// The world in memory, the replay of its receipts and the laws, driven by two small rules: a till and a shop.
// Promise: each kind of wrong rule and each kind of wrong receipt is found, and a right one is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Accepted, Command, Decider, Decision, Rules, Seen } from './decider.ts';
import type { JsonObject } from './json.ts';
import { deciderLaws, type LawCommand } from './laws.ts';
import type { Receipt } from './receipt.ts';
import { applyReceipt } from './replay.ts';
import { memoryWorld, REACTIONS_MAX, type World } from './world.ts';

const WORLD = 'world:usd';
const amountOf = (command: Command): bigint => BigInt(String(command.body['amount_micros']));

/** Opens an account with its first deposit; holds and settles. */
const till: Decider = {
  kind: 'till',
  initial: { deposits: 0, owner: null },
  reads: (command) => ({ accounts: [command.stream] }),
  decide(state, command, seen): Decision {
    const amountMicros = command.body['amount_micros'] === undefined ? 0n : amountOf(command);
    if (command.type === 'Deposit') {
      if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { asked: String(amountMicros) } };
      const isFirst = state['deposits'] === 0;
      const opens = isFirst ? [{ account: command.stream, asset: 'usd' as const, noOverdraft: true }] : [];
      const posting = { asset: 'usd' as const, debit: WORLD, credit: command.stream, amountMicros };
      const event = { type: 'Deposited', body: { by: command.principal, amount_micros: String(amountMicros) } };
      return { events: [event], opens, postings: [posting], rule: 'deposit', answer: { at: String(seen.atUs) } };
    }
    const available = seen.availableMicros(command.stream);
    if (available === undefined || available < amountMicros || amountMicros <= 0n)
      return { rejection: 'FUNDS_MISSING' };
    return {
      events: [{ type: 'Spent', body: {} }],
      postings: [{ asset: 'usd', debit: command.stream, credit: WORLD, amountMicros }],
    };
  },
  evolve: (state, event) =>
    event.type === 'Deposited'
      ? { deposits: Number(state['deposits']) + 1, owner: event.body['by']! }
      : { ...state, spent: true },
  owner: (state) => state['owner'] as string | null,
};

const shop: Decider = {
  kind: 'shop',
  initial: { sold: 0 },
  reads: () => ({ streams: ['till:a'] }),
  decide(state, command, seen): Decision {
    if (command.type === 'Found') return { events: [], opens: [{ account: WORLD, asset: 'usd', noOverdraft: false }] };
    if (command.type === 'Alarm') {
      const next = { stream: command.stream, type: 'Ring', body: {} };
      return { events: [], timers: [{ timer: 'bell', round: 1, dueUs: seen.atUs + 5n, command: next }] };
    }
    if (command.type === 'Ring') {
      const next = { stream: command.stream, type: 'Ring', body: {} };
      const isLast = Number(state['sold']) >= 2;
      return {
        events: [{ type: 'Rung', body: {} }],
        timers: isLast
          ? []
          : [{ timer: 'bell', round: Number(state['sold']) + 2, dueUs: seen.atUs + 5n, command: next }],
        outbox: [{ topic: 'bell', body: {} }],
      };
    }
    return { events: [{ type: 'Noted', body: { deposits: seen.state('till:a')['deposits']! } }] };
  },
  evolve: (state) => ({ sold: Number(state['sold']) + 1 }),
  owner: () => null,
};

const rulesOf = (...changed: Decider[]): Rules => ({
  deciders: new Map([till, shop, ...changed].map((decider) => [decider.kind, decider])),
  reactions: [{ on: 'Deposited', commands: () => [{ stream: 'shop:one', type: 'Note', body: {} }] }],
  policy: { version: '1', hash: 'ab'.repeat(32) },
});

const FOUND: LawCommand = { stream: 'shop:one', type: 'Found', body: {} };
let made = 0;
const command = (stream: string, type: string, body: JsonObject = {}): Command => ({
  principal: 'usr_a',
  key: `k${made++}`,
  stream,
  type,
  body,
});
const deposit = (amount: string, stream = 'till:a'): Command => command(stream, 'Deposit', { amount_micros: amount });
const spend = (amount: string): Command => command('till:a', 'Spend', { amount_micros: amount });

function lived(): World {
  const world = memoryWorld(rulesOf());
  world.execute({ principal: 'platform', key: 'f', ...FOUND }, 1n);
  world.execute(deposit('100'), 2n);
  world.execute(spend('30'), 3n);
  world.execute(spend('71'), 4n);
  world.execute(command('shop:one', 'Note'), 5n);
  return world;
}

const copy = (receipt: Receipt): Receipt => structuredClone(receipt);

test('commands are decided in order, answered once, and leave linked receipts', () => {
  const world = lived();
  assert.equal(world.availableMicros('till:a'), 70n);
  assert.deepEqual(
    world.receipts.map((r) => [r.stream, r.seq, r.decision.rejection]),
    [
      ['shop:one', 1, null],
      ['till:a', 1, null],
      ['shop:one', 2, null],
      ['till:a', 2, null],
      ['till:a', 3, 'FUNDS_MISSING'],
      ['shop:one', 3, null],
    ],
  );
  assert.equal(world.receipts[1]!.owner, 'usr_a');
  const again = deposit('5');
  const first = world.execute(again, 9n);
  assert.deepEqual(world.execute(again, 99n), { ...first, replayed: true });
  assert.equal(world.execute({ ...again, type: 'Other' }, 99n).rejection, 'CONFLICT');
  assert.equal(world.execute(command('shop:one', 'Note'), 3n).atUs, 9n, 'the clock never goes back');
});

test('reactions carry a key of the event, timers one of their round', () => {
  const world = lived();
  assert.equal(world.receipts[2]!.command.id, 'reaction/reaction:1.0.0');
  world.execute(command('shop:one', 'Alarm'), 10n);
  const start = Number(world.state('shop:one')['sold']);
  assert.equal(start, 2);
  assert.deepEqual(world.fireDue(14n), []);
  assert.equal(world.nextDueUs(), 15n);
  assert.equal(world.advance(100n).length, 1);
  assert.equal(world.nextDueUs(), undefined);
  assert.equal(world.receipts.at(-1)!.command.id, 'timer/bell:1');
  assert.deepEqual(
    world.outbox.map(({ topic, pos, ord }) => [topic, pos, ord]),
    [['bell', world.head - 1, 0]],
  );
});

const BAD_RULES: [string, Partial<Decider>, RegExp][] = [
  ['peeks at an account', { reads: () => ({}) }, /do not name it/],
  [
    'changes its state',
    { decide: (state) => ({ events: [], answer: String(Object.assign(state, { x: 1 })) }) },
    /not extensible|read only/,
  ],
  [
    'changes the command',
    { decide: (_, c) => ({ events: [], answer: String(Object.assign(c.body, { x: 1 })) }) },
    /not extensible/,
  ],
  [
    'changes its state in evolve',
    { evolve: (state) => Object.assign(state, { deposits: 1 }) },
    /read only|not extensible/,
  ],
  ['keeps a float', { evolve: () => ({ rate: 0.5 }) as JsonObject }, /not a safe integer: 0.5 at \/rate/],
  [
    'overdraws',
    {
      decide: (_, c) => ({
        events: [],
        postings: [{ asset: 'usd', debit: c.stream, credit: WORLD, amountMicros: 1000n }],
      }),
    },
    /overdrawn by/,
  ],
  [
    'pays nobody',
    {
      decide: (_, c) => ({
        events: [],
        postings: [{ asset: 'usd', debit: c.stream, credit: 'no:one', amountMicros: 1n }],
      }),
    },
    /not open/,
  ],
];

for (const [what, change, found] of BAD_RULES) {
  test(`[I-22] a rule that ${what} is found`, () => {
    const world = memoryWorld(rulesOf());
    world.execute({ principal: 'platform', key: 'f', ...FOUND }, 1n);
    world.execute(deposit('1'), 1n);
    const broken = memoryWorld(rulesOf({ ...till, ...change }));
    broken.execute({ principal: 'platform', key: 'f', ...FOUND }, 1n);
    const state = world.streams.get('till:a')!;
    broken.streams.set('till:a', state);
    broken.ledger.accounts.set('till:a', world.ledger.accounts.get('till:a')!);
    assert.throws(() => broken.execute(what.includes('account') ? spend('1') : deposit('1'), 2n), found);
  });
}

test('[I-22] a rule that decides by chance is found, and so is a circle of reactions', () => {
  let calls = 0;
  const dice: Decider = { ...till, decide: (): Accepted => ({ events: [{ type: 'Rolled', body: { n: calls++ } }] }) };
  assert.throws(() => memoryWorld(rulesOf(dice)).execute(deposit('1'), 1n), /not deterministic/);
  const echo: Decider = { ...shop, decide: (): Accepted => ({ events: [{ type: 'Deposited', body: {} }] }) };
  assert.throws(
    () => memoryWorld(rulesOf(echo)).execute(command('shop:one', 'Note'), 1n),
    new RegExp(`more than ${REACTIONS_MAX}`),
  );
});

test('[I-21] replaying receipts gives the same streams and balances', () => {
  const world = lived();
  const replayed = memoryWorld(rulesOf());
  for (const receipt of world.receipts)
    assert.deepEqual(applyReceipt(replayed, copy(receipt)), { problems: [], isRedecided: true });
  assert.deepEqual(replayed.streams, world.streams);
  assert.deepEqual(replayed.ledger, world.ledger);
  assert.equal(replayed.head, world.head);
});

type Forge = (receipt: Receipt) => unknown;
const FORGERIES: [string, number, Forge, string][] = [
  ['another seq', 3, (r) => (r.seq = 7), '/seq'],
  ['another link', 3, (r) => (r.prev = '00'.repeat(32)), '/prev'],
  ['another version', 3, (r) => (r.decision.from = 0), '/decision/from'],
  ['an earlier time', 3, (r) => (r.at_us = '0'), '/at_us'],
  ['another policy', 3, (r) => (r.policy.hash = '00'.repeat(32)), '/policy/hash'],
  ['another rule', 1, (r) => (r.policy.rule = 'gift'), '/policy/rule'],
  ['another owner', 3, (r) => (r.owner = 'usr_b'), '/owner'],
  ['another state', 3, (r) => (r.decision.state_hash = '00'.repeat(32)), '/decision/state_hash'],
  ['a smaller payment', 3, (r) => (r.postings[0]!.amount_micros = '29'), '/postings/0/amount_micros'],
  ['another payee', 3, (r) => (r.postings[0]!.credit = 'till:b'), '/postings/0/credit'],
  ['no payment', 3, (r) => (r.postings = []), '/postings/0'],
  ['another event', 1, (r) => (r.events[0]!.body['by'] = 'usr_b'), '/events/0/body/by'],
  ['one more event', 3, (r) => r.events.push({ type: 'Spent', body: {} }), '/events/1'],
  ['one more account', 3, (r) => r.accounts.push({ account: 'x', asset: 'usd', no_overdraft: true }), '/accounts/0'],
  ['invented evidence', 3, (r) => r.evidence.push('seen'), '/evidence/0'],
  ['a false balance', 3, (r) => (r.seen.accounts['till:a'] = '1000'), '/seen/accounts/till:a'],
  ['a false version', 5, (r) => (r.seen.streams['till:a'] = 1), '/seen/streams/till:a'],
  ['a fact not looked up', 3, (r) => (r.seen.accounts = {}), '/decision'],
  ['a fact not named', 3, (r) => (r.seen.accounts['till:b'] = null), '/seen/accounts/till:b'],
  ['a dropped refusal', 4, (r) => (r.decision.rejection = null), '/decision/rejection'],
  ['another refusal', 4, (r) => (r.decision.rejection = 'OTHER'), '/decision/rejection'],
  ['invented facts', 4, (r) => (r.decision.facts = { cap: '1' }), '/decision/facts'],
  ['an unknown kind', 4, (r) => (r.stream = 'none:a'), '/stream'],
  ['a quarantine with effects', 3, (r) => (r.decision.rejection = 'QUARANTINED_23514'), '/decision/rejection'],
];

for (const [what, pos, forge, pointer] of FORGERIES) {
  test(`[I-21] a receipt with ${what} is told at ${pointer}`, () => {
    const { receipts } = lived();
    const replayed = memoryWorld(rulesOf());
    for (const receipt of receipts.slice(0, pos)) applyReceipt(replayed, receipt);
    const forged = copy(receipts[pos]!);
    forge(forged);
    const { problems } = applyReceipt(replayed, forged);
    assert.ok(
      problems.some((problem) => problem.pointer === pointer),
      JSON.stringify(problems),
    );
  });
}

test('a world that knows a part of the log decides again what it can and says what it cannot', () => {
  const { receipts } = lived();
  const own = receipts.map((receipt, pos) => ({ receipt, pos })).filter(({ receipt }) => receipt.owner === 'usr_a');
  const part = memoryWorld(rulesOf(), { isWhole: false });
  const applied = own.map(({ receipt, pos }) => applyReceipt(part, receipt, { pos }));
  assert.deepEqual(
    applied,
    own.map(() => ({ problems: [], isRedecided: true })),
  );
  assert.equal(part.availableMicros('till:a'), 70n);
  const stranger = memoryWorld(rulesOf(), { isWhole: false });
  const note = { ...copy(receipts[5]!), seq: 1, prev: '', decision: { ...receipts[5]!.decision, from: 0, to: 1 } };
  assert.equal(applyReceipt(stranger, note, { pos: 5 }).isRedecided, false);
});

const amounts = fc.integer({ min: -5, max: 50 }).map(String);
const commands: fc.Arbitrary<LawCommand> = fc.oneof(
  fc.record({
    stream: fc.constantFrom('till:a', 'till:b'),
    type: fc.constantFrom('Deposit', 'Spend'),
    body: fc.record({ amount_micros: amounts }),
  }),
  fc.constantFrom<LawCommand>(
    { stream: 'shop:one', type: 'Alarm', body: {} },
    { stream: 'shop:one', type: 'Note', body: {} },
  ),
);

test('[I-09] [I-22] the small rules keep the laws', () => {
  deciderLaws({ rules: rulesOf(), commands, setup: [FOUND], runs: 60 });
});

test('the laws have teeth: a rule that remembers outside its state does not replay', () => {
  let total = 0;
  let last = '';
  const leaky: Decider = {
    ...till,
    evolve(state: JsonObject, event) {
      const id = JSON.stringify([state, event]);
      if (id !== last) total++;
      last = id;
      return { ...till.evolve(state, event), total };
    },
  };
  assert.throws(
    () => deciderLaws({ rules: rulesOf(leaky), commands, setup: [FOUND], runs: 60 }),
    /law broken|not deterministic/,
  );
  const careless: Decider = {
    ...till,
    decide: (s: JsonObject, c: Command, seen: Seen) => till.decide(s, c, { ...seen, availableMicros: () => 10n ** 9n }),
  };
  assert.throws(
    () => deciderLaws({ rules: rulesOf(careless), commands, setup: [FOUND], runs: 60 }),
    /the ledger refuses/,
  );
});
