/** Several processes, killed at any moment: what was acknowledged is there once, and the audit finds nothing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { auditShard } from './audit.ts';
import { type Database, openDatabase } from './database/index.ts';
import { spawnWorker, type Worker } from './testing/spawn-worker.ts';
import { asOwner, fund, newShard, newTestEngine, startTestDatabase, TEST_LOG_KEY, TEST_RULES } from './testing.ts';
import { fireDueTimers } from './timers.ts';

const ROUNDS = 3;

describe('crashes', () => {
  let database: Database;
  let folder: string;
  before(async () => {
    database = await startTestDatabase();
    folder = dirname(/in (.*)$/.exec(database.describe())![1]!);
  });
  after(() => database.stop());

  async function fundedShard(): Promise<number> {
    const shard = await newShard(database);
    await using engine = await newTestEngine({ database, shard });
    await fund(engine);
    return shard;
  }

  async function startLoad(shard: number, names: string[], sales: number, stops = false): Promise<Worker[]> {
    const order = { connection: database.as('meter'), shard, callers: 60, sales, leases: 80, stops };
    const workers = names.map((name) => spawnWorker({ ...order, name }));
    await Promise.all(workers.map((worker) => worker.ready));
    for (const worker of workers) worker.go();
    return workers;
  }

  /** Every acknowledged key has exactly one receipt, no key has two, and the whole shard replays. */
  async function assertKept(shard: number, acknowledged: string[]): Promise<void> {
    const rows = await asOwner(
      database,
      async (client) =>
        (
          await client.query<{ id: string; n: number }>(
            `select convert_from(payload, 'UTF8')::jsonb #>> '{command,id}' as id, count(*)::int as n from engine.receipt where shard = $1 group by 1`,
            [shard],
          )
        ).rows,
    );
    const times = new Map(rows.map((row) => [row.id, row.n]));
    assert.deepEqual(
      acknowledged.filter((key) => times.get(`tester/${key}`) !== 1),
      [],
      'lost or doubled',
    );
    assert.deepEqual(
      rows.filter((row) => row.n !== 1),
      [],
    );
    const audit = await auditShard({ database, role: 'meter', rules: TEST_RULES, logKey: TEST_LOG_KEY, shard });
    assert.deepEqual(audit.problems, []);
  }

  test('[I-15] two processes at once: nothing lost, nothing doubled', async () => {
    const shard = await fundedShard();
    const workers = await startLoad(shard, ['w0', 'w1'], 1500);
    const reports = await Promise.all(workers.map((worker) => worker.report));
    assert.deepEqual(
      reports.map((report) => report?.sold),
      [1500, 1500],
    );
    assert.ok(
      reports.some((report) => report!.losses > 0),
      'they met',
    );
    await assertKept(
      shard,
      workers.flatMap((worker) => worker.acknowledged),
    );
  });

  test(`[I-17] kill -9 of a writer, ${ROUNDS} times, while another goes on; [I-23] its reactions are carried out once`, async () => {
    const shard = await fundedShard();
    const acknowledged: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const [victim, other] = (await startLoad(shard, [`victim${round}`, `other${round}`], 900, true)) as [
        Worker,
        Worker,
      ];
      await victim.reached(150 + 97 * round);
      victim.child.kill('SIGKILL');
      await victim.report;
      assert.equal((await other.report)?.sold, 900);
      acknowledged.push(...victim.acknowledged, ...other.acknowledged);
    }
    await using meter = await newTestEngine({ database, shard, nowUs: () => BigInt(Date.now()) * 1000n + 5_000_000n });
    await fireDueTimers(meter); // leftovers of the dead, their grace over
    await meter.settled();
    const [row] = await asOwner(
      database,
      async (client) =>
        (
          await client.query(
            `select (select count(*) from engine.stream_head where shard = $1 and kind = 'lease' and state::json ->> 'stopped' = 'true') as stopped,
        (select version from engine.stream_head where shard = $1 and stream = 'tally:stopped') as counted,
        (select count(*) from engine.timer where shard = $1 and timer like 'reaction:%') as waiting`,
            [shard],
          )
        ).rows,
    );
    assert.ok(row.stopped > 0n);
    assert.deepEqual([row.counted, row.waiting], [row.stopped, 0n]);
    await assertKept(shard, acknowledged);
  });

  test(`[I-17] kill -9 of PostgreSQL, ${ROUNDS} times, under two writers: they go on by themselves`, async () => {
    const shard = await fundedShard();
    const workers = await startLoad(shard, ['left', 'right'], 4000);
    for (let round = 1; round <= ROUNDS; round++) {
      await workers[0]!.reached(round * 700);
      killServer(database.postmasterPid()!, round % 2 === 0);
      database = await openDatabase({ folder });
    }
    const reports = await Promise.all(workers.map((worker) => worker.report));
    assert.deepEqual(
      reports.map((report) => report?.sold),
      [4000, 4000],
    );
    assert.ok(reports.every((report) => report!.connects > ROUNDS));
    await assertKept(
      shard,
      workers.flatMap((worker) => worker.acknowledged),
    );
  });
});

/** The postmaster alone, so that its children finish or not as they like; or all of them in one instant. */
function killServer(postmaster: number, childrenToo: boolean): void {
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  for (const pid of childrenToo ? [postmaster, ...children] : [postmaster]) process.kill(pid, 'SIGKILL');
}
