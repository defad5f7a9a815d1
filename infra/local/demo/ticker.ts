/**
 * A command that prints the time until its machine stands still.
 * Promise: what it tells comes from inside the machine, by the machine's own clock.
 */
import type { ExecStream, Sandbox } from '@tallystick/sdk';

const TICKER = 'while :; do date +%s%3N; sleep 0.05; done';
const END_MS_MAX = 5_000;

export interface TickerState {
  ticks: number;
  /** Milliseconds since 1970; undefined when it never ticked. */
  lastTickMs: number | undefined;
}

export interface Ticker {
  readonly state: Readonly<TickerState>;
  /** Waits for what is still on its way. */
  stop(): Promise<TickerState>;
}

/** A machine that has ended meanwhile leaves a ticker without ticks. */
export function startTicker(sandbox: Sandbox): Ticker {
  const state: TickerState = { ticks: 0, lastTickMs: undefined };
  const following = sandbox.execStream(['sh', '-c', TICKER]).then(
    (run) => follow(run, state),
    () => undefined,
  );
  return {
    state,
    async stop() {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, END_MS_MAX);
      await Promise.race([following, late]);
      clearTimeout(timer);
      return state;
    },
  };
}

async function follow(run: ExecStream, state: TickerState): Promise<void> {
  let open = '';
  try {
    for await (const { bytes } of run) {
      const lines = (open + Buffer.from(bytes).toString('utf8')).split('\n');
      open = lines.pop()!;
      for (const line of lines) {
        state.ticks += 1;
        state.lastTickMs = Number(line);
      }
    }
  } catch {
    // the stream ends with its machine; what was heard until then counts
  }
}
