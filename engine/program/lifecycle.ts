/**
 * How a program says that it is ready and learns that it shall stop.
 * Promise: a program whose parent died stops as if it had been told to.
 */
import { once } from 'node:events';

const PARENT_CHECK_MS = 1_000;

/** One JSON line on standard output; whoever started the program waits for it. */
export function announceReady(facts: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ ready: true, pid: process.pid, ...facts })}\n`);
}

/** Resolves with the reason: a signal's name, or `orphaned` when the starting process is gone. */
export async function untilStopped(): Promise<string> {
  const signals = ['SIGTERM', 'SIGINT'].map(async (signal) => {
    await once(process, signal);
    return signal;
  });
  return Promise.race([...signals, untilOrphaned()]);
}

/** Only programs started with TALLY_PARENT watch it; a service manager's child has no use for that. */
async function untilOrphaned(): Promise<string> {
  const parent = Number(process.env['TALLY_PARENT'] ?? '0');
  const { promise, resolve } = Promise.withResolvers<string>();
  if (parent === 0) return promise;
  const timer = setInterval(() => {
    if (process.ppid !== parent) resolve('orphaned');
  }, PARENT_CHECK_MS);
  timer.unref();
  return promise;
}
