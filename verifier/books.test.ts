/** The books: rules that agree with themselves but not with the money are found by the sums alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Decider,
  type Decision,
  type DomainEvent,
  isRejection,
  type Receipt,
  type Rules,
  userAccount,
  type World,
  withdrawalAccount,
} from '@tallystick/kernel';
import { createBookCheck } from './books.ts';
import type { VerifyReport } from './report.ts';
import { ALICE, exportLines, SMALL_RULES, smallWorld } from './testing.ts';
import { verifyChunks } from './verify.ts';

/** The small rules with one event changed after it was decided: engine and verifier run the same wrong rule. */
function rulesWhere(kind: string, type: string, change: (event: DomainEvent) => DomainEvent): Rules {
  const right = SMALL_RULES.deciders.get(kind)!;
  const decide = (...given: Parameters<Decider['decide']>): Decision => {
    const decision = right.decide(...given);
    if (isRejection(decision)) return decision;
    return { ...decision, events: decision.events.map((event) => (event.type === type ? change(event) : event)) };
  };
  return { ...SMALL_RULES, deciders: new Map([...SMALL_RULES.deciders, [kind, { ...right, decide }]]) };
}

async function verifyUnder(rules: Rules): Promise<VerifyReport> {
  const lines = await exportLines(smallWorld(1, rules));
  async function* bytes(): AsyncGenerator<Buffer> {
    yield Buffer.from(lines.join(''));
  }
  return verifyChunks(bytes(), { rules });
}

const rows: [string, string, string, (event: DomainEvent) => DomainEvent, RegExp][] = [
  [
    'a price other than what was paid',
    'sandbox',
    'MinuteSold',
    (e) => ({ ...e, body: { ...e.body, price_micros: '1' } }),
    /deposited 5000, but balance 400 and spent -395/,
  ],
  [
    'a refund other than what came back',
    'sandbox',
    'SandboxEnded',
    (e) => ({ ...e, body: { refunded_micros: '9' } }),
    /deposited 5000, but balance 400 and spent 4991/,
  ],
  [
    'a deposit other than what was credited',
    'account',
    'DepositCredited',
    (e) => ({ ...e, body: { amount_micros: '1' } }),
    /the stream says 1 deposited, postings say 5000/,
  ],
];

for (const [name, kind, type, change, what] of rows)
  test(`[I-09] ${name} is found`, async () => {
    const report = await verifyUnder(rulesWhere(kind, type, change));
    assert.equal(report.ok, false);
    assert.ok(
      report.problems.some((problem) => problem.stream === `account:${ALICE}` && what.test(problem.what)),
      JSON.stringify(report.problems),
    );
  });

test('the right rules leave nothing to find', async () => {
  assert.deepEqual((await verifyUnder(SMALL_RULES)).problems, []);
});

test('[I-09] what was withdrawn, less what came back, is neither lost nor there', () => {
  const [user, out] = [userAccount(ALICE), withdrawalAccount('wdr_1')];
  const move = (debit: string, credit: string, micros: bigint): Receipt =>
    ({
      owner: null,
      events: [],
      postings: [{ kind: 'posted', asset: 'usd', debit, credit, amount_micros: String(micros) }],
    }) as unknown as Receipt;
  const judged = (creditsMicros: bigint, debitsMicros: bigint) => {
    const accounts = new Map([[user, { creditsMicros, debitsMicros }]]);
    const world = { ledger: { accounts }, streams: new Map(), trialBalance: () => new Map() } as unknown as World;
    const check = createBookCheck(world);
    for (const receipt of [
      move('chain:development/treasury', user, 9_000n),
      move(user, out, 5_000n),
      move(out, user, 2_000n),
    ])
      check.enter(receipt);
    return check.judge().map(({ what }) => what);
  };
  assert.deepEqual(judged(11_000n, 5_000n), []);
  assert.deepEqual(judged(9_000n, 5_000n), ['deposited 9000, but balance 4000 and spent 0 and withdrawn 3000']);
});
