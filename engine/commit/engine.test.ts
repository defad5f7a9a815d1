/** The commit path: once per key, caps hold, poison is quarantined alone, two engines at once lose nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCheckpoint, parseStrict, type Receipt, type Rules } from '@tallystick/kernel';
import { auditShard } from '../audit.ts';
import { latestCheckpoint, readBalances, readReceiptAt, readReceipts, readStream, trialBalance } from '../read.ts';
import { capOf } from '../testing/rules.ts';
import {
  asOwner,
  command,
  fund,
  JOB,
  newTestEngine,
  sale,
  startTestDatabase,
  TEST_LOG_KEY,
  TEST_RULES,
  testDatabase,
  WALLET,
} from '../testing.ts';
import type { Engine } from './engine.ts';

async function assertSound(engine: Engine): Promise<void> {
  const database = await testDatabase();
  const { problems } = await auditShard({
    database,
    role: 'api',
    rules: engine.rules,
    logKey: TEST_LOG_KEY,
    shard: engine.shard,
  });
  assert.deepEqual(problems, []);
  for (const { sumMicros } of await trialBalance(engine)) assert.equal(sumMicros, 0n);
}
const receiptOf = async (engine: Engine, pos: number): Promise<Receipt> =>
  parseStrict((await readReceiptAt(engine, pos))!.bytes) as unknown as Receipt;

test('[I-15][I-16] a repeated key gives the first answer everywhere, with another body it conflicts', async () => {
  await using one = await newTestEngine();
  await using two = await newTestEngine({ shard: one.shard, role: 'api' });
  await fund(one);
  const first = await one.execute(sale('a', 1));
  const again = { ...first, replayed: true };
  assert.deepEqual(await one.execute(sale('a', 1)), again);
  assert.deepEqual(await two.execute(sale('a', 1)), again);
  const twins = await Promise.all([
    one.execute(sale('b', 1)),
    one.execute(sale('b', 1)),
    two.execute(sale('b', 1)),
    two.execute(sale('b', 1)),
  ]);
  assert.equal(twins.filter((outcome) => !outcome.replayed).length, 1);
  assert.equal(new Set(twins.map((outcome) => outcome.pos)).size, 1);
  const conflict = await two.execute({ ...sale('a', 1), type: 'StopLease' });
  assert.deepEqual(
    [conflict.pos, conflict.rejection, conflict.facts],
    [first.pos, 'CONFLICT', { first_type: 'SellMinute', first_pos: first.pos, first_receipt: first.receiptId }],
  );
  const both = await Promise.all([one.execute(sale('c', 1)), one.execute(sale('c', 2))]);
  assert.deepEqual(
    both.map((outcome) => outcome.rejection),
    [undefined, 'CONFLICT'],
  );
  assert.equal((await one.execute({ ...sale('a', 1), principal: 'other' })).replayed, false, 'keys are per principal');
  await assertSound(one);
});

test('[I-12] a cap for three minutes sells three, from two engines at once; [I-18] every refusal has a receipt', async () => {
  await using one = await newTestEngine({ lockAfterLosses: 1 });
  await using two = await newTestEngine({ shard: one.shard });
  await fund(one, '3500');
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, (_, i) => (i % 2 ? one : two).execute(sale(`k${i}`, i))),
  );
  assert.equal(outcomes.filter((outcome) => outcome.rejection === undefined).length, 3);
  assert.equal(outcomes.filter((outcome) => outcome.rejection === 'CAP_EXCEEDED').length, 37);
  assert.equal((await readReceipts(one, { all: true, after: -1, limit: 100 })).length, 43);
  const refused = outcomes.find((outcome) => outcome.rejection)!;
  const receipt = await receiptOf(one, refused.pos);
  assert.equal(receipt.decision.rejection, 'CAP_EXCEEDED');
  assert.deepEqual(receipt.seen, { streams: { [JOB]: 1 }, accounts: { [capOf(JOB)]: '500' } });
  await assertSound(one);
});

test('[I-26][I-12] a rule that forgets to look is refused by the database and quarantined alone', async () => {
  await using engine = await newTestEngine();
  await fund(engine, '2500');
  const bad = { ...sale('bad', 9), type: 'SellUnchecked', body: { wallet: WALLET, job: JOB, rateMicros: '2501' } };
  const [good1, poison, good2] = await Promise.all([
    engine.execute(sale('good-1', 1)),
    engine.execute(bad),
    engine.execute(sale('good-2', 2)),
  ]);
  assert.deepEqual(
    [good1!.rejection, poison!.rejection, good2!.rejection],
    [undefined, 'QUARANTINED_23514', undefined],
  );
  await using later = await newTestEngine({ shard: engine.shard });
  assert.deepEqual(await later.execute(bad), { ...poison, replayed: true });
  assert.equal((await readStream(later, 'lease:9'))?.version, 0);
  await assertSound(later);
});

test('[I-26] a rule that throws is a bug: its caller hears of it, no receipt is written, the others go on', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const crash = { ...sale('crash', 1), type: 'Crash' };
  const [before, bug, behind] = await Promise.allSettled([
    engine.execute(sale('x', 1)),
    engine.execute(crash),
    engine.execute(sale('y', 1)),
  ]);
  assert.equal(before.status, 'fulfilled');
  assert.equal(behind.status === 'fulfilled' && behind.value.pos, 4);
  assert.match(String(bug.status === 'rejected' && bug.reason), /a bug of the rule/);
  await assert.rejects(engine.execute(crash), TypeError, 'alone in its batch');
  await assertSound(engine);
});

const BAD_COMMANDS: [name: string, given: Parameters<Engine['execute']>[0]][] = [
  ['a kind without a decider', command('k', 'nothing:1', 'X')],
  ['a float in the body', command('k', 'wallet:1', 'Deposit', { amountMicros: 1.5 })],
  ['a key with NUL', command('a\0b', 'wallet:1', 'Deposit')],
  ['an empty key', command('', 'wallet:1', 'Deposit')],
  ['a key too long', command('k'.repeat(513), 'wallet:1', 'Deposit')],
  ['a slash in the principal', { ...command('k', 'wallet:1', 'Deposit'), principal: 'a/b' }],
  ['a fingerprint that is none', { ...command('k', 'wallet:1', 'Deposit'), fingerprint: 'xyz' }],
];
test('what cannot be written never enters a batch', async () => {
  await using engine = await newTestEngine();
  for (const [name, given] of BAD_COMMANDS) await assert.rejects(engine.execute(given), TypeError, name);
  assert.equal((await engine.execute(command('k', 'wallet:1', 'Deposit', { amountMicros: '0' }))).pos, 0);
});

test('a full queue refuses as LIMITED, names the limit and leaves no trace', async () => {
  await using engine = await newTestEngine({ queueCommandsMax: 5 });
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, (_, i) => engine.execute(command(`k${i}`, 'wallet:1', 'Deposit', { amountMicros: '1' }))),
  );
  assert.deepEqual(
    outcomes.map((outcome) => outcome.rejection),
    [...Array(5).fill('AMOUNT'), ...Array(3).fill('LIMITED')].map((r) =>
      r === 'LIMITED' ? r : outcomes[0]!.rejection,
    ),
  );
  assert.deepEqual(outcomes[7]!.facts, { cap: 'commands_waiting', max: 5, waiting: 5, asked: 1 });
  assert.equal((await engine.execute(command('k7', 'wallet:1', 'Deposit', { amountMicros: '1' }))).replayed, false);
});

test('[I-11] holds made and resolved by rules, by another process too, are in the balance the next rule sees', async () => {
  await using one = await newTestEngine();
  await using two = await newTestEngine({ shard: one.shard });
  await fund(one, '1000000', '1000');
  const held = await one.execute(command('h1', WALLET, 'Hold', { amountMicros: '600' }));
  assert.equal((await two.execute(command('h2', WALLET, 'Hold', { amountMicros: '401' }))).rejection, 'FUNDS_MISSING');
  const settle = command('r1', WALLET, 'Resolve', { pos: held.pos, amountMicros: '250' });
  const inOneBatch = await Promise.all([
    two.execute(settle),
    two.execute(command('h3', WALLET, 'Hold', { amountMicros: '750' })),
    two.execute(command('h4', WALLET, 'Hold', { amountMicros: '1' })),
  ]);
  assert.deepEqual(
    inOneBatch.map((outcome) => outcome.rejection),
    [undefined, undefined, 'FUNDS_MISSING'],
  );
  assert.match((await one.execute({ ...settle, key: 'r2' })).rejection!, /^QUARANTINED_23505/);
  assert.equal(
    (await one.execute(command('r3', WALLET, 'Resolve', { pos: 99_999, amountMicros: '1' }))).rejection,
    'QUARANTINED_LG001',
  );
  assert.equal(
    (await one.execute(command('r4', WALLET, 'Resolve', { pos: inOneBatch[1]!.pos, amountMicros: '0' }))).rejection,
    undefined,
  );
  const [balance] = await readBalances(one, [WALLET]);
  assert.deepEqual(
    [balance!.availableMicros, balance!.debitsPostedMicros, balance!.debitsPendingMicros],
    [750n, 250n, 0n],
  );
  await assertSound(two);
});

test('time never goes back within a shard, whatever the clocks say', async () => {
  await using ahead = await newTestEngine({ nowUs: () => 5_000n });
  await using behind = await newTestEngine({ shard: ahead.shard, nowUs: () => 1_000n });
  const first = await ahead.execute(command('a', 'ledger:main', 'OpenLedger'));
  const second = await behind.execute(command('b', 'ledger:main', 'OpenLedger'));
  assert.deepEqual([first.atUs, second.atUs, second.rejection], [5_000n, 5_000n, 'ALREADY_OPEN']);
  await assertSound(ahead);
});

test('[I-17] an answer comes after a stored note covers its receipt; a note its writer never stored is stored by the next', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const { pos } = await engine.execute(sale('a', 1));
  const checkpoint = await latestCheckpoint(engine);
  assert.ok(checkpoint!.size > pos);
  assert.equal(openCheckpoint(TEST_LOG_KEY, checkpoint!.note)?.size, checkpoint!.size);
  await loseNotes(engine.shard);
  await using next = await newTestEngine({ shard: engine.shard });
  assert.equal((await next.execute(sale('a', 1))).replayed, true);
  assert.equal((await latestCheckpoint(next))?.size, checkpoint!.size);
});

test('[I-17] a note its writer never stored is stored by whoever watches, without another command', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const { size } = (await latestCheckpoint(engine))!;
  await loseNotes(engine.shard);
  await using watcher = await newTestEngine({ shard: engine.shard });
  assert.equal(await latestCheckpoint(watcher), undefined);
  watcher.watchHead(10);
  for (let looks = 0; looks < 500 && !(await latestCheckpoint(watcher)); looks++) await sleep(10);
  assert.equal((await latestCheckpoint(watcher))?.size, size);
});

/** As if the process had died before it signed. */
async function loseNotes(shard: number): Promise<void> {
  await asOwner(await testDatabase(), async (client) => {
    await client.query('begin; set local session_replication_role = replica');
    await client.query('update engine.checkpoint set note = null where shard = $1', [shard]);
    await client.query('commit');
  });
}

test('[I-17] commands wait for a database that is away, and are answered once', async () => {
  const database = await startTestDatabase();
  try {
    await using engine = await newTestEngine({ database });
    await fund(engine);
    const clients = await asOwner(database, async (client) => {
      const outcomes = Promise.all(Array.from({ length: 50 }, (_, i) => engine.execute(sale(`k${i}`, i))));
      await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tally_meter'`);
      return outcomes;
    });
    assert.deepEqual(
      clients.filter((outcome) => outcome.rejection !== undefined),
      [],
    );
    assert.equal((await readBalances(engine, ['escrow:usd']))[0]!.creditsPostedMicros, 50_000n);
  } finally {
    await database.stop();
  }
});

test('[I-22] only what `reads` names can be looked at', async () => {
  const peeking: Rules = {
    ...TEST_RULES,
    deciders: new Map([
      [
        'peek',
        {
          kind: 'peek',
          initial: {},
          owner: () => null,
          evolve: (state) => state,
          reads: () => ({}),
          decide: (_state, _command, seen) => {
            seen.availableMicros('wallet:user');
            return { events: [] };
          },
        },
      ],
    ]),
    reactions: [],
  };
  await using engine = await newTestEngine({ rules: peeking });
  await assert.rejects(engine.execute(command('a', 'peek:1', 'Look')), /reads do not name/);
});
