/** A job that is extended while work lasts: when little is left, so often at most, and not when the work is over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MoreBudget, withMoreBudget } from './more-budget.ts';

const PRICE = 10n;
const STEP = 100n;

/** A job that spends one step at every look. */
function spending(startMicros: bigint) {
  let [maxTotalSpendMicros, remainingMicros, deposited] = [startMicros, startMicros, 0n];
  const lines: string[] = [];
  const job = {
    async refresh() {
      remainingMicros -= PRICE;
      return { remainingMicros };
    },
    async extend({ addSpendMicros }: { addSpendMicros: bigint }) {
      maxTotalSpendMicros += addSpendMicros;
      remainingMicros += addSpendMicros;
      return { maxTotalSpendMicros };
    },
  };
  const tally = {
    async depositDevelopment(micros: bigint) {
      deposited += micros;
    },
  };
  const sandbox = { state: { priceMicrosPerQuantum: PRICE } };
  const say = { line: (text: string) => void lines.push(text), bad: (text: string) => void lines.push(`bad ${text}`) };
  const terms = { tally, job, sandbox, stepMicros: STEP, say, lookEveryMs: 1 } as unknown as MoreBudget;
  return { terms, lines, bought: () => [maxTotalSpendMicros, deposited] };
}

test('with enough to go nothing is extended; with little, by one step at a time, and told', async () => {
  const rich = spending(100_000n);
  assert.equal(await withMoreBudget(rich.terms, () => new Promise((done) => setTimeout(done, 30, 'report'))), 'report');
  assert.deepEqual([rich.lines, rich.bought()], [[], [100_000n, 0n]]);
  const poor = spending(60n);
  const seen = Promise.withResolvers<void>();
  const { line } = poor.terms.say;
  poor.terms.say.line = (text) => {
    line(text);
    seen.resolve();
  };
  await withMoreBudget(poor.terms, () => seen.promise);
  assert.deepEqual(poor.lines, ['the work takes longer than planned: the job may spend $0.000160 now']);
  assert.deepEqual(poor.bought(), [160n, 100n]);
});

test('it is not extended for ever, and what the work rejects with is told', async () => {
  const world = spending(0n);
  await assert.rejects(
    withMoreBudget(world.terms, () => new Promise((_, fail) => setTimeout(fail, 400, new Error('the audit failed')))),
    /the audit failed/,
  );
  assert.equal(world.lines.length, 12);
});
