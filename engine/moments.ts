/**
 * When something was done last: beside the log, for what is done too often to leave a receipt each time.
 * Promise: never goes back, whoever says so in whichever order; whoever decides anything reads receipts.
 */
import type { Engine } from './commit/engine.ts';
import { STATEMENTS } from './statements.ts';

/** Only the meter's role may. */
export async function noteMoment(engine: Engine, name: string, atUs: bigint): Promise<void> {
  await engine.query(STATEMENTS.noteMoment, [engine.shard, name, atUs]);
}

/** In microseconds since 1970; undefined when it was never done. */
export async function readMoment(engine: Engine, name: string): Promise<bigint | undefined> {
  const [row] = await engine.query<{ at_us: bigint }>(STATEMENTS.readMoment, [engine.shard, name]);
  return row?.at_us;
}
