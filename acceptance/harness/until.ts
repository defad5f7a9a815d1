/**
 * Waiting for something to become true.
 * Promise: looks often, gives up at a deadline, and then says what it waited for.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;
const WAIT_MS_DEFAULT = 30_000;

type Probe<T> = () => T | undefined | false | null | Promise<T | undefined | false | null>;

/** The first answer of `probe` that says anything. @errors rejects with `what` when `waitMs` pass first */
export async function until<T>(what: string, probe: Probe<T>, waitMs = WAIT_MS_DEFAULT): Promise<T> {
  const giveUpAtMs = performance.now() + waitMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false && found !== null) return found;
    if (performance.now() > giveUpAtMs) throw new Error(`not within ${waitMs} ms: ${what}`);
    await sleep(LOOK_EVERY_MS);
  }
}
