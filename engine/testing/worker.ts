/**
 * A process that sells minutes through its own engine and prints the key of every answered command.
 * Promise: a printed key was acknowledged; what was under way when it is killed was not printed.
 */
import { once } from 'node:events';
import type pg from 'pg';
import { createEngine } from '../commit/engine.ts';
import { BIGINT_TYPES } from '../database/database.ts';
import type { Database } from '../database/index.ts';
import { sale, TEST_LOG_KEY, TEST_RULES } from '../testing.ts';

export interface WorkerOrder {
  /** Connection settings of the meter's role. */
  connection: pg.ClientConfig;
  shard: number;
  name: string;
  callers: number;
  sales: number;
  leases: number;
  lockAfterLosses?: number;
  /** Ends every tenth lease, which sets off a reaction. */
  stops?: boolean;
}
export interface WorkerReport {
  sold: number;
  connects: number;
  losses: number;
}

async function work(order: WorkerOrder): Promise<void> {
  const { shard, name, callers, sales, leases, stops = false, lockAfterLosses } = order;
  const database: Pick<Database, 'as'> = { as: () => ({ ...order.connection, types: BIGINT_TYPES }) };
  const patience = lockAfterLosses === undefined ? {} : { lockAfterLosses };
  await using engine = createEngine({
    database: database as Database,
    role: 'meter',
    rules: TEST_RULES,
    logKey: TEST_LOG_KEY,
    shard,
    ...patience,
  });
  await engine.execute(sale(`${name}-first`, `${name}-first`));
  process.stdout.write('ready\n');
  await once(process.stdin, 'data');
  let next = 0;
  let sold = 0;
  const sell = async (): Promise<void> => {
    while (next < sales) {
      const n = next++;
      const asked =
        stops && n % 10 === 0
          ? { ...sale(`${name}-${n}`, `${name}-once-${n}`), type: 'StopLease' }
          : sale(`${name}-${n}`, n % leases);
      const outcome = await engine.execute(asked);
      if (outcome.rejection === undefined) sold++;
      process.stdout.write(`${name}-${n}\n`);
    }
  };
  await Promise.all(Array.from({ length: callers }, sell));
  await engine.settled();
  const { connects, losses } = engine.stats;
  process.stdout.write(`${JSON.stringify({ sold, connects, losses } satisfies WorkerReport)}\n`);
}

if (import.meta.main) await work(JSON.parse(process.argv[2]!));
