/** The floor of our SQL: everything the engine does, on a PostgreSQL 15 reached by URL with passwords. Prints what it found. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { auditShard } from './audit.ts';
import { migrate, openDatabase } from './database/index.ts';
import { runOutbox } from './outbox.ts';
import { readStream, waitingWork } from './read.ts';
import { asOwner, fund, newTestEngine, sale, TEST_LOG_KEY, TEST_RULES } from './testing.ts';
import { fireDueTimers } from './timers.ts';

const BINARIES = '/usr/lib/postgresql/15/bin';
const NOBODY_ID = 65_534;
const PASSWORD = 'a secret: with/odd@characters';

type Probe = { found: true; binaries: string } | { found: false; reason: string };
const probe: Probe = existsSync(join(BINARIES, 'postgres'))
  ? { found: true, binaries: BINARIES }
  : { found: false, reason: `no ${BINARIES}/postgres: apt-get install postgresql-15` };

/** As root the server runs as nobody. */
function run(program: string, args: string[]): void {
  const identity = process.getuid?.() === 0 ? { uid: NOBODY_ID, gid: NOBODY_ID } : {};
  const done = spawnSync(join(BINARIES, program), args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'] },
    cwd: '/',
    ...identity,
  });
  assert.equal(done.status, 0, `${program}: ${done.stderr}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function withServer(work: (url: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-pg15-'));
  const [data, secret, port] = [join(folder, 'data'), join(folder, 'secret'), await freePort()];
  writeFileSync(secret, PASSWORD);
  if (userInfo().uid === 0) for (const path of [folder, secret]) chownSync(path, NOBODY_ID, NOBODY_ID);
  run('initdb', [
    '-D',
    data,
    '-U',
    'boss',
    '--auth=scram-sha-256',
    `--pwfile=${secret}`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]);
  run('pg_ctl', [
    '-D',
    data,
    '-w',
    '-l',
    join(folder, 'log'),
    'start',
    '-o',
    `-c listen_addresses=127.0.0.1 -p ${port} -k ${folder} -c fsync=off`,
  ]);
  try {
    await work(`postgres://boss:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/postgres`);
  } finally {
    run('pg_ctl', ['-D', data, '-w', '-m', 'immediate', 'stop']);
    rmSync(folder, { recursive: true, force: true });
  }
}

test(`the whole path on PostgreSQL 15 by URL ${JSON.stringify(probe)}`, async (t) => {
  if (!probe.found) return t.diagnostic(`not run: ${probe.reason}`);
  await withServer(async (url) => {
    const database = await openDatabase({ url });
    assert.ok(!database.describe().includes('secret'));
    const { from, to } = await migrate(database);
    assert.equal(from, 0);
    assert.deepEqual(await migrate(database), { from: to, to });
    let clockUs = 1_000_000n;
    await using engine = await newTestEngine({ database, nowUs: () => clockUs });
    await using api = await newTestEngine({ database, shard: engine.shard, role: 'api', nowUs: () => clockUs });
    await fund(engine);
    await Promise.all(Array.from({ length: 300 }, (_, i) => (i % 2 ? engine : api).execute(sale(`k${i}`, i % 9))));
    await api.execute({ ...sale('stop', 0), type: 'StopLease' });
    await api.settled();
    clockUs += 3_600_000_000n;
    assert.equal(await fireDueTimers(engine), 8);
    await assert.rejects(api.query({ name: 'peek', text: 'select * from engine.timer' }, []), { code: '42501' });
    await assert.rejects(api.query({ name: 'up', text: 'set role boss' }, []), { code: '42501' });
    const stop = new AbortController();
    let delivered = 0;
    await runOutbox(
      engine,
      {
        'run-ticket': async () => {
          if (++delivered === 308) stop.abort();
        },
      },
      { signal: stop.signal },
    );
    assert.equal((await waitingWork(engine)).outboxMessages, 0);
    assert.equal((await readStream(engine, 'tally:stopped'))?.version, 1);
    const audit = await auditShard({
      database,
      role: 'meter',
      rules: TEST_RULES,
      logKey: TEST_LOG_KEY,
      shard: engine.shard,
    });
    assert.deepEqual(audit, { receipts: 3 + 300 + 2 + 8, problems: [] });
    const wrong = new URL(url);
    wrong.username = 'tally_api';
    await assert.rejects(
      asOwner(
        await openDatabase({ url }).then((d) => ({ ...d, as: () => ({ connectionString: wrong.href }) })),
        async () => undefined,
      ),
      { code: '28P01' },
    );
  });
});
