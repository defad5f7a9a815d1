/**
 * The time that all processes on one database agree on: the database's, carried on by this process's monotonic clock.
 * Promise: a wrong or moved wall clock of a process never reaches a receipt; being late by a round trip is the only error.
 */
import type { Connection } from './connection.ts';
import { STATEMENTS } from './statements.ts';

/** The two clocks drift apart by microseconds in this time. */
const FRESH_MS = 30_000;
const US_PER_MS = 1_000;

export interface SharedClock {
  /** Microseconds since 1970; this machine's wall clock until the database was asked once. */
  nowUs(): bigint;
  /** Asks the database when that was long ago. @errors rejects as the connection does */
  freshen(connection: Connection): Promise<void>;
}

const monotonicMs = (): number => performance.now();

export function createSharedClock(): SharedClock {
  let base: { databaseUs: bigint; atMs: number } | undefined;
  return {
    nowUs() {
      if (!base) return BigInt(Date.now()) * BigInt(US_PER_MS);
      return base.databaseUs + BigInt(Math.floor((monotonicMs() - base.atMs) * US_PER_MS));
    },
    async freshen(connection) {
      if (base && monotonicMs() - base.atMs < FRESH_MS) return;
      const [row] = await connection.query<{ now_us: bigint }>(STATEMENTS.databaseTime, []);
      base = { databaseUs: row!.now_us, atMs: monotonicMs() };
    },
  };
}

/** A clock that a test holds in its hand. */
export const fixedClock = (nowUs: () => bigint): SharedClock => ({ nowUs, freshen: async () => undefined });
