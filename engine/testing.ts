/**
 * What tests of the engine and of the programs around it share: one server per run, a fresh shard per test, tiny rules.
 * Promise: nothing is shared between tests but the server; it ends with the process and leaves no files.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, type JsonObject, type LogKey, logKeyFromSeed } from '@tallystick/kernel';
import pg from 'pg';
import { createEngine, type Engine, type EngineOptions } from './commit/engine.ts';
import { type Database, migrate, openDatabase } from './database/index.ts';
import { TEST_RULES } from './testing/rules.ts';

export { NOT_TAKEN, overhearing } from './testing/overheard.ts';
export { TEST_RULES } from './testing/rules.ts';

/** A key for tests, never a real one. */
export const TEST_LOG_KEY: LogKey = logKeyFromSeed('log.example/test', Buffer.alloc(32, 1));
export const WALLET = 'wallet:user';
export const JOB = 'job:main';
export const RATE_MICROS = '1000';
const PLENTY_MICROS = '1000000000000';

let running: Promise<Database> | undefined;

/** The one migrated test server of this process, made at the first call; `fsync` is off, so a machine crash may lose it. */
export function testDatabase(): Promise<Database> {
  running ??= startTestDatabase({ fsync: 'off' });
  return running;
}

/** A server of its own, for tests that kill it. */
export async function startTestDatabase(settings: Record<string, string> = {}): Promise<Database> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-test-'));
  const database = await openDatabase({ folder, settings });
  process.once('exit', () => {
    const pid = database.postmasterPid();
    if (pid) process.kill(pid, 'SIGQUIT');
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    rmSync(String(database.as('owner').host), { recursive: true, force: true });
  });
  await migrate(database);
  return database;
}

/** Runs the SQL as the superuser of the test server, on a connection of its own. */
export async function asOwner<T>(database: Database, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(database.as('owner'));
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const NEW_SHARD = `insert into engine.shard (shard) select max(shard) + 1 from engine.shard on conflict do nothing returning shard`;

/** A shard that no other test uses. */
export async function newTestShard(): Promise<{ database: Database; shard: number }> {
  const database = await testDatabase();
  return { database, shard: await newShard(database) };
}

/** A new shard of that server. */
export function newShard(database: Database): Promise<number> {
  return asOwner(database, async (client) => {
    while (true) {
      const { rows } = await client.query(NEW_SHARD);
      if (rows[0]) return rows[0].shard as number;
    }
  });
}

/** An engine with the tiny rules, in the meter's role, on a fresh shard of the test server unless told otherwise. */
export async function newTestEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const database = options.database ?? (await testDatabase());
  const shard = options.shard ?? (await newShard(database));
  return createEngine({ role: 'meter', rules: TEST_RULES, logKey: TEST_LOG_KEY, ...options, database, shard });
}

/** Opens the ledger, one wallet and one job. */
export async function fund(engine: Engine, budgetMicros = PLENTY_MICROS, moneyMicros = PLENTY_MICROS): Promise<void> {
  await engine.execute(command('fund-1', 'ledger:main', 'OpenLedger'));
  await engine.execute(command('fund-2', WALLET, 'Deposit', { amountMicros: moneyMicros }));
  await engine.execute(command('fund-3', JOB, 'OpenJob', { budgetMicros }));
}

export const command = (key: string, stream: string, type: string, body: JsonObject = {}): Command => ({
  principal: 'tester',
  key,
  stream,
  type,
  body,
});

export const sale = (key: string, lease: string | number, type = 'SellMinute'): Command =>
  command(key, `lease:${lease}`, type, { wallet: WALLET, job: JOB, rateMicros: RATE_MICROS });
