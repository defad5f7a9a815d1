// Money, ids, tickets and the ledger's arithmetic.
// Promise: one row per accepted form and per refusal; sums and orders as properties.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Posting } from './decider.ts';
import { isId, newId } from './ids.ts';
import type { JsonObject } from './json.ts';
import { availableIn, emptyLedger, type Ledger, post, trialBalance } from './ledger.ts';
import { formatUsd, mulDivCeil, mulDivFloor, parseMicros, SAFE_MICROS_MAX } from './money.ts';
import { readCallerTicket, readRunTicket } from './ticket.ts';

test('[I-13] micros are read in one spelling only', () => {
  const property = fc.property(fc.bigInt({ min: -SAFE_MICROS_MAX, max: SAFE_MICROS_MAX }), (amount) => {
    assert.equal(parseMicros(String(amount)), amount);
  });
  fc.assert(property);
  for (const bad of ['', '-', '-0', '+1', '01', '1.0', '1e3', ' 1', '1n', '0x1', '1_000', '１'])
    assert.throws(() => parseMicros(bad), TypeError, bad);
  assert.throws(() => parseMicros(1 as unknown as string), TypeError);
  for (const bad of [String(SAFE_MICROS_MAX + 1n), String(-SAFE_MICROS_MAX - 1n)])
    assert.throws(() => parseMicros(bad), RangeError);
});

test('dollars are shown exactly', () => {
  const rows: [bigint, string][] = [
    [0n, '$0.00'],
    [1n, '$0.000001'],
    [1_234_567n, '$1.234567'],
    [1_500_000n, '$1.50'],
    [-250_000n, '-$0.25'],
    [10_000n, '$0.01'],
    [2_000_000n, '$2.00'],
    [123_456_789_012_340_000n, '$123456789012.34'],
  ];
  for (const [micros, text] of rows) assert.equal(formatUsd(micros), text);
});

test('shares are floored for who receives and ceiled for who pays', () => {
  const amount = fc.bigInt({ min: 0n, max: SAFE_MICROS_MAX });
  const property = fc.property(amount, amount, fc.bigInt({ min: 1n, max: SAFE_MICROS_MAX }), (a, num, den) => {
    const [floor, ceil] = [mulDivFloor(a, num, den), mulDivCeil(a, num, den)];
    assert.ok(floor * den <= a * num && a * num <= ceil * den && ceil - floor <= 1n);
    assert.equal(ceil === floor, (a * num) % den === 0n);
  });
  fc.assert(property);
  const bad: [bigint, bigint, bigint][] = [
    [-1n, 1n, 1n],
    [1n, -1n, 1n],
    [1n, 1n, 0n],
  ];
  for (const [share, num, den] of bad) {
    assert.throws(() => mulDivFloor(share, num, den), RangeError);
    assert.throws(() => mulDivCeil(share, num, den), RangeError);
  }
});

test('ids name their kind, sort by time and are UUIDv7', () => {
  const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
  const property = fc.property(fc.nat({ max: 2 ** 47 }), random, random, (atMs, a, b) => {
    const id = newId('job', atMs, a);
    assert.ok(isId('job', id) && !isId('sbx', id));
    assert.match(id, /^job_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
    assert.ok(id < newId('job', atMs + 1, b));
    assert.equal(Number.parseInt(id.slice(4, 16), 16), atMs);
  });
  fc.assert(property);
  assert.throws(() => newId('job', -1, new Uint8Array(10)), RangeError);
  assert.throws(() => newId('job', 2 ** 48, new Uint8Array(10)), RangeError);
  assert.throws(() => newId('job', 1, new Uint8Array(9)), RangeError);
  for (const bad of [
    '',
    'job_',
    `job_${'0'.repeat(32)}`,
    newId('job', 1, new Uint8Array(10)).toUpperCase(),
    `${newId('job', 1, new Uint8Array(10))}0`,
  ])
    assert.ok(!isId('job', bad), bad);
});

const RUN_TICKET: JsonObject = {
  sandbox: 'sbx_1',
  incarnation: 1,
  seq: 1,
  minutes: 1,
  starts_at_us: '10',
  paid_until_us: '60000010',
  duration_ms: 60_000,
  price_micros: '100',
  job: 'job_1',
  receipt: 'rcp_1',
  receipt_hash: 'ab'.repeat(32),
  final: false,
};
const CALLER_TICKET: JsonObject = {
  aud: 'k',
  sandbox: 'sbx_1',
  incarnation: 1,
  verbs: ['exec', 'files'],
  exp_us: '10',
  jti: 'x',
};

const BAD_MEMBERS: [typeof readRunTicket | typeof readCallerTicket, JsonObject, string, unknown][] = [
  [readRunTicket, RUN_TICKET, 'sandbox', ''],
  [readRunTicket, RUN_TICKET, 'incarnation', '1'],
  [readRunTicket, RUN_TICKET, 'seq', 0],
  [readRunTicket, RUN_TICKET, 'seq', 1.5],
  [readRunTicket, RUN_TICKET, 'minutes', -1],
  [readRunTicket, RUN_TICKET, 'starts_at_us', 10],
  [readRunTicket, RUN_TICKET, 'paid_until_us', '060'],
  [readRunTicket, RUN_TICKET, 'paid_until_us', '9'],
  [readRunTicket, RUN_TICKET, 'price_micros', '-1'],
  [readRunTicket, RUN_TICKET, 'receipt_hash', 'AB'.repeat(32)],
  [readRunTicket, RUN_TICKET, 'final', 0],
  [readRunTicket, RUN_TICKET, 'job', null],
  [readRunTicket, RUN_TICKET, 'duration_ms', null],
  [readRunTicket, RUN_TICKET, 'receipt', 'x'.repeat(257)],
  [readCallerTicket, CALLER_TICKET, 'aud', 1],
  [readCallerTicket, CALLER_TICKET, 'verbs', []],
  [readCallerTicket, CALLER_TICKET, 'verbs', ['a', 'a']],
  [readCallerTicket, CALLER_TICKET, 'verbs', 'exec'],
  [readCallerTicket, CALLER_TICKET, 'verbs', [1]],
  [readCallerTicket, CALLER_TICKET, 'exp_us', 10],
  [readCallerTicket, CALLER_TICKET, 'jti', ''],
];

test('[I-33] a ticket with a missing, unknown or malformed member is refused by its name', () => {
  assert.deepEqual(readRunTicket(RUN_TICKET), RUN_TICKET);
  assert.deepEqual(readCallerTicket(CALLER_TICKET), CALLER_TICKET);
  for (const [read, ticket, member, value] of BAD_MEMBERS)
    assert.match(
      (read({ ...ticket, [member]: value } as JsonObject) as { error: string }).error,
      new RegExp(`^${member} is`),
      member,
    );
  for (const [read, ticket] of [
    [readRunTicket, RUN_TICKET],
    [readCallerTicket, CALLER_TICKET],
  ] as const) {
    assert.deepEqual(read({ ...ticket, extra: 1 }), { error: 'extra is unknown' });
    for (const member of Object.keys(ticket)) {
      const { [member]: _gone, ...rest } = ticket;
      assert.deepEqual(read(rest), { error: `${member} is missing` });
    }
  }
});

const usd = (debit: string, credit: string, amountMicros: bigint, rest: Partial<Posting> = {}): Posting => ({
  asset: 'usd',
  debit,
  credit,
  amountMicros,
  ...rest,
});

/** World 0, a has 100 and holds 60 of it for b at 1.0 until 50 us. */
function funded(): Ledger {
  const ledger = emptyLedger();
  const opens = [
    { account: 'world', asset: 'usd' as const, noOverdraft: false },
    { account: 'a', asset: 'usd' as const, noOverdraft: true },
    { account: 'b', asset: 'usd' as const, noOverdraft: true },
    { account: 'cap', asset: 'cap' as const, noOverdraft: true },
  ];
  assert.deepEqual(post(ledger, { pos: 0, atUs: 0n, opens, postings: [usd('world', 'a', 100n)] }), []);
  assert.deepEqual(
    post(ledger, { pos: 1, atUs: 0n, opens: [], postings: [usd('a', 'b', 60n, { kind: 'pending', expiresUs: 50n })] }),
    [],
  );
  return ledger;
}
const hold = { pos: 1, ord: 0 };

const REFUSED: [string, Posting[], RegExp, bigint?][] = [
  ['an overdraft', [usd('a', 'b', 101n)], /overdrawn by 61/],
  ['spending what is held', [usd('a', 'b', 41n)], /overdrawn by 1/],
  [
    'an overdraft among good rows',
    [usd('world', 'b', 5n), usd('a', 'b', 41n), usd('b', 'a', 0n)],
    /overdrawn|no amount/,
  ],
  ['zero', [usd('a', 'b', 0n)], /no amount/],
  ['a negative amount', [usd('a', 'b', -1n)], /no amount/],
  ['paying oneself', [usd('a', 'a', 1n)], /pay itself/],
  ['an unknown account', [usd('a', 'c', 1n)], /c is not open/],
  ['another asset', [usd('a', 'cap', 1n)], /holds cap/],
  ['more than the hold', [usd('a', 'b', 61n, { kind: 'post', hold })], /has 60, asked 61/],
  ['a hold to another account', [usd('a', 'world', 1n, { kind: 'post', hold })], /other accounts/],
  ['a late post', [usd('a', 'b', 1n, { kind: 'post', hold })], /expired/, 50n],
  ['a hold that is none', [usd('a', 'b', 1n, { kind: 'post', hold: { pos: 0, ord: 0 } })], /no hold 0.0/],
  [
    'a hold twice',
    [usd('a', 'b', 1n, { kind: 'post', hold }), usd('a', 'b', 1n, { kind: 'post', hold })],
    /resolved already/,
  ],
  ['a void with an amount', [usd('a', 'b', 1n, { kind: 'void', hold })], /no amount/],
  ['a post without hold', [usd('a', 'b', 1n, { kind: 'post' })], /needs hold/],
  ['a posting with hold', [usd('a', 'b', 1n, { hold })], /has no hold/],
  ['an expiry without hold', [usd('a', 'b', 1n, { expiresUs: 1n })], /does not expire/],
];

for (const [what, postings, found, atUs] of REFUSED) {
  test(`[I-10] [I-11] the ledger refuses ${what}, and nothing changes`, () => {
    const ledger = funded();
    const refusals = post(ledger, { pos: 2, atUs: atUs ?? 10n, opens: [], postings });
    assert.match(refusals.map((refusal) => refusal.problem).join('; '), found);
    assert.deepEqual(ledger, funded());
  });
}

test('[I-11] a hold is posted in part, the rest is free; a void frees all, also late', () => {
  const posted = funded();
  assert.deepEqual(
    post(posted, { pos: 2, atUs: 49n, opens: [], postings: [usd('a', 'b', 25n, { kind: 'post', hold })] }),
    [],
  );
  assert.deepEqual([availableIn(posted, 'a'), availableIn(posted, 'b')], [75n, 25n]);
  const voided = funded();
  assert.deepEqual(
    post(voided, { pos: 2, atUs: 99n, opens: [], postings: [usd('a', 'b', 0n, { kind: 'void', hold })] }),
    [],
  );
  assert.equal(availableIn(voided, 'a'), 100n);
  assert.deepEqual(
    [...trialBalance(posted)],
    [
      ['usd', 0n],
      ['cap', 0n],
    ],
  );
  assert.match(
    post(posted, { pos: 3, atUs: 1n, opens: [{ account: 'a', asset: 'usd', noOverdraft: false }], postings: [] })[0]!
      .problem,
    /already open/,
  );
});
