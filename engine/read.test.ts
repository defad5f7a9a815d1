/** Reading: pages that never shift, owners kept apart, proofs that verify, cursors that only go forward. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leafHash, openCheckpoint, verifyConsistency, verifyInclusion } from '@tallystick/kernel';
import { auditShard } from './audit.ts';
import { consistency, inclusion, inclusions } from './proofs.ts';
import {
  advanceCursor,
  FROM_START,
  head,
  latestCheckpoint,
  listStreams,
  PAGE_MAX,
  readCursor,
  readOutcomes,
  readReceipt,
  readReceiptAt,
  readReceipts,
  readStream,
  streamReader,
} from './read.ts';
import { asOwner, command, fund, JOB, newTestEngine, sale, TEST_LOG_KEY, TEST_RULES, testDatabase } from './testing.ts';

test('streams are listed newest first, per owner, by cursor and by state', async () => {
  await using engine = await newTestEngine();
  const open = (principal: string, i: number) =>
    engine.execute({
      ...command(`j${i}`, `job:${principal}-${i}`, 'OpenJob', { budgetMicros: String(1 + (i % 2)) }),
      principal,
    });
  await engine.execute(command('ledger', 'ledger:main', 'OpenLedger'));
  for (let i = 0; i < 6; i++) await Promise.all([open('ann', i), open('bob', i)]);
  await engine.execute({ ...command('j9', 'job:refused', 'OpenJob', { budgetMicros: '0' }), principal: 'ann' });
  const page = await listStreams(engine, { kind: 'job', owner: 'ann', limit: 4 });
  assert.deepEqual(
    page.map((row) => row.stream),
    ['job:ann-5', 'job:ann-4', 'job:ann-3', 'job:ann-2'],
  );
  const rest = await listStreams(engine, { kind: 'job', owner: 'ann', limit: 4, after: page.at(-1)!.createdPos! });
  assert.deepEqual(
    rest.map((row) => row.stream),
    ['job:ann-1', 'job:ann-0'],
  );
  const odd = await listStreams(engine, { kind: 'job', limit: 100, filter: { budgetMicros: '2' } });
  assert.equal(odd.length, 6);
  assert.equal(await readStream(engine, 'job:nobody'), undefined);
  assert.deepEqual((await readStream(engine, 'job:refused'))?.createdPos, undefined);
  const receipts = await readReceipts(engine, { owner: 'bob', after: FROM_START, limit: 4 });
  assert.equal(receipts.length, 4);
  assert.equal((await readReceipts(engine, { owner: 'bob', after: receipts.at(-1)!.pos, limit: 100 })).length, 2);
  assert.equal((await readReceipts(engine, { stream: 'job:bob-3', after: FROM_START, limit: 9 })).length, 1);
});

test('what is read together is what each would read alone, and keys tell what they came to', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const refused = await engine.execute(command('none', 'job:refused', 'OpenJob', { budgetMicros: '0' }));
  const names = [JOB, 'job:nobody', 'job:refused', JOB];
  const together = await Promise.all(names.map(streamReader(engine)));
  assert.deepEqual(together, await Promise.all(names.map((name) => readStream(engine, name))));
  const found = await readOutcomes(engine, 'tester', ['none', 'fund-3', 'never']);
  assert.deepEqual([...found.keys()].sort(), ['fund-3', 'none']);
  assert.deepEqual(found.get('none'), { ...refused, replayed: true });
  assert.equal((await readOutcomes(engine, 'somebody', ['none'])).size, 0);
});

test('[I-27] pages of the log join without a gap while others write, and hints come for every commit', async () => {
  await using engine = await newTestEngine();
  await using writer = await newTestEngine({ shard: engine.shard });
  await fund(writer);
  const endWatch = engine.watchHead(20);
  const wanted = 3 + 400;
  const seen: number[] = [];
  let wake = Promise.withResolvers<void>();
  const unlisten = engine.onCommit(() => wake.resolve());
  const writing = Promise.all(Array.from({ length: 400 }, (_, i) => writer.execute(sale(`k${i}`, i % 7))));
  while (seen.length < wanted) {
    const page = await readReceipts(engine, { all: true, after: seen.at(-1) ?? FROM_START, limit: 37 });
    seen.push(...page.map((row) => row.pos));
    if (page.length === 0) await wake.promise;
    wake = Promise.withResolvers();
    if (page.length > 0) wake.resolve();
  }
  await writing;
  unlisten();
  await endWatch();
  assert.deepEqual(
    seen,
    Array.from({ length: wanted }, (_, i) => i),
  );
});

test('[I-20] receipts are provable from a checkpoint, checkpoints from each other', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const early: { size: number; root: Buffer }[] = [];
  for (let round = 0; round < 4; round++) {
    const outcomes = await Promise.all(
      Array.from({ length: 170 }, (_, i) => engine.execute(sale(`p${round}-${i}`, i % 20))),
    );
    const found = await readReceipt(engine, outcomes[0]!.receiptId);
    assert.equal(found?.pos, outcomes[0]!.pos);
    early.push(openCheckpoint(TEST_LOG_KEY, (await latestCheckpoint(engine))!.note)!);
  }
  const { size, root } = early.at(-1)!;
  assert.equal(size, await head(engine));
  for (const pos of [0, 255, 256, 511, 612, size - 1]) {
    const path = await inclusion(engine, pos, size);
    const bytes = Buffer.from((await readReceiptAt(engine, pos))!.bytes);
    assert.ok(verifyInclusion(leafHash(bytes), pos, size, path, root), `receipt ${pos}`);
    bytes[bytes.length >> 1]! ^= 1;
    assert.ok(!verifyInclusion(leafHash(bytes), pos, size, path, root));
  }
  const every = Array.from({ length: size }, (_, pos) => pos);
  const paths = await inclusions(engine, every, size);
  const receipts = await readReceipts(engine, { all: true, after: FROM_START, limit: PAGE_MAX });
  for (const { pos, bytes } of receipts)
    assert.ok(verifyInclusion(leafHash(bytes), pos, size, paths[pos]!, root), `receipt ${pos} among all`);
  for (const old of early) {
    const path = await consistency(engine, old.size, size);
    assert.ok(verifyConsistency(old.size, size, path, old.root, root), `${old.size} to ${size}`);
  }
  await assert.rejects(inclusion(engine, size, size), RangeError);
  await assert.rejects(consistency(engine, 5, size + 1), RangeError);
  assert.equal(await readReceipt(engine, 'rcp_00000000000070008000000000000000'), undefined);
});

test('a durable cursor goes forward only, and never beyond the log', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const at = async (pos: number): Promise<number> => {
    await advanceCursor(engine, 'views', pos);
    return readCursor(engine, 'views');
  };
  assert.equal(await readCursor(engine, 'views'), 0);
  assert.deepEqual([await at(2), await at(1), await at(99)], [2, 2, 3]);
});

test('[I-21] the audit finds every tampering that only a superuser with triggers off can do', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  await Promise.all(Array.from({ length: 200 }, (_, i) => engine.execute(sale(`p${i}`, i % 20))));
  await engine.execute({ ...sale('stop', 3), type: 'StopLease' });
  await engine.settled();
  const database = await testDatabase();
  const audit = () =>
    auditShard({ database, role: 'api', rules: TEST_RULES, logKey: TEST_LOG_KEY, shard: engine.shard });
  assert.deepEqual(await audit(), { receipts: 205, problems: [] });
  const tamperings: [sql: string, undo: string, says: RegExp][] = [
    [
      'update engine.receipt set payload = set_byte(payload, 40, get_byte(payload, 40) # 1) where shard = $1 and pos = 100',
      'same',
      /receipt 100|checkpoint/,
    ],
    [
      `update engine.account set credits_posted = credits_posted + 1 where shard = $1 and account = 'escrow:usd'`,
      `update engine.account set credits_posted = credits_posted - 1 where shard = $1 and account = 'escrow:usd'`,
      /account escrow:usd/,
    ],
    [
      `update engine.stream_head set state = replace(state, 'true', 'false') where shard = $1 and stream = 'lease:3'`,
      `update engine.stream_head set state = replace(state, 'false', 'true') where shard = $1 and stream = 'lease:3'`,
      /stream lease:3/,
    ],
    [
      `update engine.stream_head set owner = 'thief' where shard = $1 and stream = '${JOB}'`,
      `update engine.stream_head set owner = 'tester' where shard = $1 and stream = '${JOB}'`,
      /stream job:main/,
    ],
    [`update engine.checkpoint set note = replace(note, 'a', 'b') where shard = $1`, '', /note of checkpoint/],
    ['delete from engine.receipt where shard = $1 and pos = 204', '', /head is 205/],
  ];
  await asOwner(database, async (client) => {
    for (const [sql, undo, says] of tamperings) {
      await client.query('set session_replication_role = replica');
      await client.query(sql, [engine.shard]);
      assert.match((await audit()).problems.join('\n'), says, sql);
      if (undo) await client.query(undo === 'same' ? sql : undo, [engine.shard]);
    }
  });
});
