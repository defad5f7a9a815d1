/**
 * Fires what is due, as ordinary commands keyed by timer and round; also the reactions that a dead process left behind.
 * Promise: any number of meters may fire at once; the key and the commit make it happen once.
 */
import type { Command } from '@tallystick/kernel';
import { Bell } from './bell.ts';
import { REACTION_PREFIX } from './commit/decide.ts';
import type { Engine } from './commit/engine.ts';
import { STATEMENTS } from './statements.ts';

/** Timers fired together at most. */
const DUE_PAGE = 500;
const EVERY_MS = 100;
/** The process that committed a reaction fires it by itself; others wait so long before they take it for dead. */
export const REACTION_GRACE_US = 2_000_000n;
/** A timer whose command throws, or whose key was used up, is tried again so much later, and stops no other. */
const REST_US = 30_000_000n;
const RESTING_MAX = 10_000;
/** Where another meter was first with most of a page, this one leaves it the field for about two pages. */
const YIELD_MS_MIN = 50;
const YIELD_MS_MAX = 2_000;

export interface TimersOptions {
  signal: AbortSignal;
  /** How often due timers are looked for. */
  everyMs?: number;
  /** Told about what failed; it is tried again. */
  onError?: (error: unknown) => void;
}

interface TimerRow {
  timer: string;
  round: bigint;
  command: string;
}

/** Runs until the signal aborts. */
export async function runTimers(
  engine: Engine,
  { signal, everyMs = EVERY_MS, onError = () => undefined }: TimersOptions,
): Promise<void> {
  const bell = new Bell();
  const resting: Resting = new Map();
  while (!signal.aborted) {
    const startedMs = performance.now();
    const { fired, repeated } = await firePage(engine, resting, onError).catch((error: unknown) => {
      onError(error);
      return { fired: 0, repeated: 0 };
    });
    if (repeated * 2 > fired) await bell.wait(yieldMs(performance.now() - startedMs), signal);
    else if (fired < DUE_PAGE) await bell.wait(everyMs, signal);
  }
}

/** By chance longer or shorter, so that two never yield to each other in step. */
const yieldMs = (pageMs: number): number =>
  Math.min(YIELD_MS_MAX, Math.max(YIELD_MS_MIN, pageMs * 2) * (0.5 + Math.random()));

/** `<timer>:<round>` and the moment up to which it rests. */
type Resting = Map<string, bigint>;

/** One page of what is due now; returns how many were fired. */
export async function fireDueTimers(engine: Engine, onError: (error: unknown) => void = () => undefined) {
  return (await firePage(engine, new Map(), onError)).fired;
}

interface Page {
  fired: number;
  /** Those that another meter had fired before. */
  repeated: number;
}

async function firePage(engine: Engine, resting: Resting, onError: (error: unknown) => void): Promise<Page> {
  const nowUs = engine.nowUs();
  for (const [name, untilUs] of resting) if (untilUs <= nowUs || resting.size > RESTING_MAX) resting.delete(name);
  const values = [engine.shard, nowUs, nowUs - REACTION_GRACE_US, DUE_PAGE, [...resting.keys()]];
  const rows = await engine.query<TimerRow>(STATEMENTS.dueTimers, values);
  const rest = ({ timer, round }: TimerRow): unknown => resting.set(`${timer}:${round}`, nowUs + REST_US);
  const repeats = await Promise.all(rows.map((row) => fire(engine, row, rest, onError)));
  return { fired: rows.length, repeated: repeats.filter((isRepeat) => isRepeat).length };
}

/** Usually it clears its row; what did not rests, a repeat silently, since other meters fire too. True for a repeat. */
async function fire(
  engine: Engine,
  row: TimerRow,
  rest: (row: TimerRow) => unknown,
  onError: (error: unknown) => void,
): Promise<boolean> {
  try {
    const { replayed, rejection } = await engine.execute(commandOf(row));
    if (replayed) rest(row);
    if (rejection === 'CONFLICT' || rejection === 'LIMITED') {
      rest(row);
      onError(new Error(`timer ${row.timer}, round ${row.round}: ${rejection}`));
    }
    return replayed;
  } catch (error) {
    rest(row);
    onError(error);
    return false;
  }
}

function commandOf({ timer, round, command }: TimerRow): Command {
  const isReaction = timer.startsWith(REACTION_PREFIX);
  return {
    ...(JSON.parse(command) as Pick<Command, 'stream' | 'type' | 'body'>),
    principal: isReaction ? 'reaction' : 'timer',
    key: isReaction ? timer : `${timer}:${round}`,
    firedBy: timer,
  };
}
