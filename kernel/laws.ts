/**
 * The laws every rule keeps, as one property suite over random histories.
 * Promise: a rule that is impure, leaks money, leaves a trace of a refusal or cannot be replayed gives a counterexample.
 */
import fc from 'fast-check';
import { jcs } from './canonical.ts';
import type { Command, Rules } from './decider.ts';
import type { JsonObject } from './json.ts';
import { applyReceipt } from './replay.ts';
import { memoryWorld, type Outcome, type World } from './world.ts';

export const LAW_RUNS = 100;
export const LAW_HISTORY_COMMANDS_MAX = 30;
export const LAW_STEP_US_MAX = 90_000_000n;
/** 2026-01-01T00:00:00Z. */
export const LAW_START_US = 1_767_225_600_000_000n;

/** A command of a history; without principal it is `usr_law`, without key the history numbers it. */
export type LawCommand = Pick<Command, 'stream' | 'type' | 'body'> & Partial<Command>;

export interface LawOptions {
  rules: Rules;
  /** One random command; streams and ids should come from a small set, so that commands meet. */
  commands: fc.Arbitrary<LawCommand>;
  /** What every history begins with; each must be accepted. */
  setup?: LawCommand[];
  /** More that must hold after every step; throws when it does not. */
  invariant?: (world: World) => void;
  startUs?: bigint;
  /** Longest pause between two commands; timers fire meanwhile, punctually or late. */
  stepUsMax?: bigint;
  historyCommandsMax?: number;
  runs?: number;
  /** Repeats a run that failed. */
  seed?: number;
}

interface LawStep {
  command: LawCommand;
  pauseUs: bigint;
  isPunctual: boolean;
}

/**
 * Deterministic; inputs untouched; only named facts are read; state is canonical JSON; every posting conserves and no
 * account that may not be overdrawn is; a rejection leaves no trace; a repeat changes nothing; replay = live.
 * @errors throws with fast-check's shrunk history and seed
 */
export function deciderLaws(options: LawOptions): void {
  const step = fc.record<LawStep>({
    command: options.commands,
    pauseUs: fc.bigInt({ min: 0n, max: options.stepUsMax ?? LAW_STEP_US_MAX }),
    isPunctual: fc.boolean(),
  });
  const maxLength = options.historyCommandsMax ?? LAW_HISTORY_COMMANDS_MAX;
  const property = fc.property(fc.array(step, { maxLength }), (history) => {
    live(options, history);
  });
  const seed = options.seed === undefined ? {} : { seed: options.seed };
  fc.assert(property, { numRuns: options.runs ?? LAW_RUNS, includeErrorInReport: true, ...seed });
}

/** One history from its beginning, every law checked on the way. */
function live(options: LawOptions, history: LawStep[]): void {
  const world = memoryWorld(options.rules);
  let nowUs = options.startUs ?? LAW_START_US;
  for (const [i, command] of (options.setup ?? []).entries()) {
    const { rejection } = world.execute(named(command, `setup-${i}`), nowUs);
    hold(rejection === undefined, `the setup command ${command.type} is accepted`, rejection);
  }
  for (const [i, { command, pauseUs, isPunctual }] of history.entries()) {
    nowUs += pauseUs;
    if (isPunctual) world.advance(nowUs);
    else world.fireDue(nowUs);
    checkStep(world, named(command, `step-${i}`), nowUs);
    options.invariant?.(world);
  }
  checkLedger(world);
  checkReplay(options.rules, world);
}

function checkStep(world: World, command: Command, nowUs: bigint): void {
  const before = pictureOf(world);
  const outcome = world.execute(command, nowUs);
  const after = pictureOf(world);
  if (outcome.rejection !== undefined)
    hold(before === after, `a rejection of ${command.type} leaves no trace`, outcome);
  checkLedger(world);
  const repeat = world.execute(command, nowUs + 1n);
  const isSame = outcome.rejection === 'CONFLICT' || (repeat.replayed && sameAnswer(outcome, repeat));
  hold(isSame, `a repeat of ${command.type} gets the first answer`, repeat);
  hold(pictureOf(world) === after, `a repeat of ${command.type} changes nothing`, repeat);
}

function checkLedger(world: World): void {
  for (const [asset, sumMicros] of world.trialBalance())
    hold(sumMicros === 0n, `${asset} is conserved`, String(sumMicros));
  for (const [name, { noOverdraft }] of world.ledger.accounts)
    hold(
      !noOverdraft || world.availableMicros(name)! >= 0n,
      `${name} is not overdrawn`,
      String(world.availableMicros(name)),
    );
}

function checkReplay(rules: Rules, world: World): void {
  const replayed = memoryWorld(rules);
  for (const [pos, receipt] of world.receipts.entries()) {
    const { problems, isRedecided } = applyReceipt(replayed, receipt);
    hold(problems.length === 0 && isRedecided, `receipt ${pos} is decided again alike`, problems);
  }
  hold(durableOf(replayed) === durableOf(world), 'replay gives the live state', undefined);
}

const named = (command: LawCommand, key: string): Command => ({ principal: 'usr_law', key, ...command });

const sameAnswer = (a: Outcome, b: Outcome): boolean =>
  a.pos === b.pos &&
  a.rejection === b.rejection &&
  jcs([a.answer ?? null, a.facts ?? null]) === jcs([b.answer ?? null, b.facts ?? null]);

/** States and balances: what receipts alone give back. */
function durableOf(world: World): string {
  const streams = [...world.streams].filter(([, { version }]) => version > 0).map(([name, { state }]) => [name, state]);
  const accounts = [...world.ledger.accounts].map(([name, account]) => [name, ...Object.values(account).map(String)]);
  return jcs([streams, accounts] as unknown as JsonObject[]);
}

/** What is durable, and what is waiting to happen. */
function pictureOf(world: World): string {
  const timers = [...world.timers.values()].map(({ timer, round, dueUs }) => `${timer}:${round}@${dueUs}`);
  return `${durableOf(world)} ${timers.join()} ${world.outbox.length}`;
}

function hold(isTrue: boolean, law: string, found: unknown): void {
  if (!isTrue)
    throw new Error(
      `law broken: ${law}; found ${JSON.stringify(found, (_, v) => (typeof v === 'bigint' ? String(v) : v))}`,
    );
}
