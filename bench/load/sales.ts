/**
 * The load of the engine's benchmarks: minutes of many leases, paid from one wallet, on a durable server of their own.
 * Promise: every command goes through `execute`; the server flushes every commit.
 */
import type { Engine } from '@tallystick/engine';
import type { Database } from '@tallystick/engine/database';
import { fund, newTestEngine, sale, startTestDatabase } from '@tallystick/engine/testing';

export const LEASES = 500;
/** Each sale pays money and cap: two postings, both to accounts that all sales share. */
export const POSTINGS_PER_SALE = 2;

/** Room for a million records; durable as in production. */
export const startServer = (): Promise<Database> =>
  startTestDatabase({ shared_buffers: '256MB', max_wal_size: '2GB', checkpoint_timeout: '30min' });

export async function fundedEngine(database: Database): Promise<Engine> {
  const engine = await newTestEngine({ database });
  await fund(engine);
  return engine;
}

let lastKey = 0;
/** One caller of `measure`. */
export const seller = (engine: Engine) => (): Promise<unknown> => engine.execute(nextSale());

function nextSale(): Parameters<Engine['execute']>[0] {
  lastKey++;
  return sale(`bench-${lastKey}`, lastKey % LEASES);
}

export const sellers = (engine: Engine, count: number): (() => Promise<unknown>)[] =>
  Array.from({ length: count }, () => seller(engine));

/** Sells so many minutes, with so many callers at once. */
export async function sellMany(engine: Engine, sales: number, callers: number): Promise<void> {
  let left = sales;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (left-- > 0) await engine.execute(nextSale());
    }),
  );
}
