/** An audit that stops and goes on: the verdict is that of one that did not stop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { type AuditMark, type AuditOptions, auditShard } from './audit.ts';
import { asOwner, fund, newTestEngine, sale, TEST_LOG_KEY, TEST_RULES, testDatabase } from './testing.ts';

const FLIP = `update engine.receipt set payload = set_byte(payload, 40, get_byte(payload, 40) # 1)
  where shard = $1 and pos = 150`;

test('[I-21] an audit goes on from a mark, tells its progress, and finds what one from the start finds', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  await Promise.all(Array.from({ length: 200 }, (_, i) => engine.execute(sale(`p${i}`, i % 20))));
  await engine.settled();
  const database = await testDatabase();
  const { shard } = engine;
  const marks: Buffer[] = [];
  const read: number[] = [];
  const audit = (more: Partial<AuditOptions> = {}) =>
    auditShard({ database, role: 'api', rules: TEST_RULES, logKey: TEST_LOG_KEY, shard, pageRows: 50, ...more });
  const whole = await audit({
    markEveryReceipts: 100,
    onMark: (mark) => marks.push(serialize(mark)),
    onProgress: ({ receipts, head, problems }) => {
      assert.deepEqual([head, problems], [203, 0]);
      read.push(receipts);
    },
  });
  assert.deepEqual(whole, { receipts: 203, problems: [] });
  assert.deepEqual(read, [50, 100, 150, 200, 203]);
  const marked = (at: number): AuditMark => deserialize(marks[at]!) as AuditMark;
  assert.deepEqual([marked(0).log.size, marked(1).log.size], [100, 200]);
  for (const at of [0, 1]) assert.deepEqual(await audit({ from: marked(at) }), whole);
  await assert.rejects(audit({ from: { ...marked(0), shard: shard + 1 } }), /the mark is of shard/);
  await asOwner(database, async (client) => {
    await client.query('set session_replication_role = replica');
    await client.query(FLIP, [shard]);
  });
  assert.match((await audit({ from: marked(0) })).problems.join('\n'), /receipt 150|checkpoint|frontier/);
});
