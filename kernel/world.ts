/**
 * The economy in memory: the same rules as in the engine, without its storage. Used by plane tests and the simulator.
 * Promise: one command is decided, written and answered exactly once, in order, and nothing but arguments decides how.
 */
import { jcs } from './canonical.ts';
import {
  type Accepted,
  type Asset,
  type Command,
  type Decider,
  type Decision,
  type DomainEvent,
  deciderOf,
  type EventPlace,
  isRejection,
  type OutboxMessage,
  type Rules,
  type Timer,
} from './decider.ts';
import { deepFreeze } from './freeze.ts';
import { sha256Hex } from './hashes.ts';
import type { Json, JsonObject } from './json.ts';
import { availableIn, emptyLedger, type Ledger, post, trialBalance } from './ledger.ts';
import type { Receipt } from './receipt.ts';
import { commandIdOf, effectsOf, fingerprintOf, receiptOf } from './receipt-form.ts';
import { type SeenSource, watchSeen } from './seen.ts';

/** Commands that one command may set off at once, directly and indirectly; more is a circle of reactions. */
export const REACTIONS_MAX = 1_000;
/** Timers fired by one call; more is a timer that sets itself anew for the same moment. */
export const TIMERS_FIRED_MAX = 20_000;

const MEMORY_ISSUER = 'memory';

/** What is known of one stream as of the world's head. */
export interface WorldStream {
  /** Number of events. */
  version: number;
  /** Number of receipts. */
  seq: number;
  /** Hash of the last receipt's bytes. */
  hash: string;
  state: JsonObject;
  owner: string | null;
}

/** What the caller is told. `pos` is that of the receipt, of the first one when `replayed` or for CONFLICT. */
export interface Outcome {
  pos: number;
  replayed: boolean;
  atUs: bigint;
  answer?: Json;
  rejection?: string;
  facts?: JsonObject;
}

export interface WorldMessage extends OutboxMessage {
  pos: number;
  ord: number;
  atUs: bigint;
}

export interface World {
  readonly rules: Rules;
  /** Whether all receipts of the log pass through this world; false: only those of some streams do. */
  readonly isWhole: boolean;
  readonly streams: Map<string, WorldStream>;
  readonly ledger: Ledger;
  readonly timers: Map<string, Timer>;
  /** Receipts of executed commands; the index is the position unless receipts were applied before. */
  readonly receipts: Receipt[];
  readonly outbox: WorldMessage[];
  /** Position of the next receipt. */
  head: number;
  /** Moment of the last receipt; never goes back. */
  atUs: bigint;
  /**
   * Decides, writes, then carries out the reactions.
   * @errors throws when a rule breaks its contract: impure, peeks, posts what the ledger refuses, or reacts in circles
   */
  execute(command: Command, atUs: bigint): Outcome;
  /** Fires what is due at this moment, in order of due time, also what is set anew for it; one outcome per timer. */
  fireDue(atUs: bigint): Outcome[];
  /** Lets time pass: fires every timer at the moment it is due, up to this one. */
  advance(untilUs: bigint): Outcome[];
  /** When the next timer is due. */
  nextDueUs(): bigint | undefined;
  /** State of a stream, its decider's `initial` when it does not exist. */
  state(stream: string): JsonObject;
  availableMicros(account: string): bigint | undefined;
  /** Per asset, credits minus debits over all accounts. */
  trialBalance(): Map<Asset, bigint>;
}

export interface WorldOptions {
  isWhole?: boolean;
  /** Freeze inputs and decide twice (default): finds impure rules. Off where speed counts. */
  isStrict?: boolean;
}

interface Memory extends World {
  readonly isStrict: boolean;
  readonly answers: Map<string, { fingerprint: string; type: string; outcome: Outcome }>;
}

type Alarm = Pick<Command, 'stream' | 'type' | 'body'>;

export function memoryWorld(rules: Rules, options: WorldOptions = {}): World {
  const world: Memory = {
    rules,
    isWhole: options.isWhole ?? true,
    isStrict: options.isStrict ?? true,
    streams: new Map(),
    ledger: emptyLedger(),
    timers: new Map(),
    receipts: [],
    outbox: [],
    answers: new Map(),
    head: 0,
    atUs: 0n,
    execute: (command, atUs) => execute(world, command, atUs),
    fireDue: (atUs) => fireDue(world, atUs),
    advance: (untilUs) => advance(world, untilUs),
    nextDueUs: () => firstTimer(world)?.dueUs,
    state: (stream) => streamIn(world, stream).state,
    availableMicros: (account) => availableIn(world.ledger, account),
    trialBalance: () => trialBalance(world.ledger),
  };
  return world;
}

/** The stream as of the head; an empty one with its decider's initial state when it does not exist. */
export function streamIn(world: World, stream: string): WorldStream {
  const known = world.streams.get(stream);
  if (known) return known;
  const { initial } = deciderOf(world.rules, stream);
  return { version: 0, seq: 0, hash: '', state: initial, owner: null };
}

/** Facts as the world has them now. */
export const sourceOf = (world: World, atUs: bigint): SeenSource => ({
  atUs,
  stream: (name) => streamIn(world, name),
  availableMicros: (account) => availableIn(world.ledger, account),
});

function execute(world: Memory, command: Command, atUs: bigint): Outcome {
  const waiting: Command[] = [];
  const outcome = commit(world, command, atUs, waiting);
  for (let i = 0; i < waiting.length; i++) {
    if (i >= REACTIONS_MAX) throw new Error(`${commandIdOf(command)} set off more than ${REACTIONS_MAX} reactions`);
    commit(world, waiting[i]!, atUs, waiting);
  }
  return outcome;
}

/** One receipt, or the stored answer; adds the reactions to `waiting`. */
function commit(world: Memory, given: Command, atUs: bigint, waiting: Command[]): Outcome {
  const command = world.isStrict ? deepFreeze(structuredClone(given)) : given;
  const [id, fingerprint] = [commandIdOf(command), fingerprintOf(command)];
  const stored = world.answers.get(id);
  if (stored) return repeat(stored, fingerprint);
  const nowUs = atUs > world.atUs ? atUs : world.atUs;
  const pos = world.head;
  const decision = decideAndWrite(world, command, nowUs);
  const outcome = outcomeOf(decision, pos, nowUs);
  world.answers.set(id, { fingerprint, type: command.type, outcome });
  if (command.firedBy !== undefined) world.timers.delete(command.firedBy);
  if (!isRejection(decision)) follow(world, command.stream, decision, { pos, atUs: nowUs }, waiting);
  return outcome;
}

function repeat(stored: { fingerprint: string; type: string; outcome: Outcome }, fingerprint: string): Outcome {
  const { outcome, type } = stored;
  if (stored.fingerprint === fingerprint) return { ...outcome, replayed: true };
  const { pos, atUs } = outcome;
  return { pos, atUs, replayed: false, rejection: 'CONFLICT', facts: { first_type: type, first_pos: pos } };
}

function decideAndWrite(world: Memory, command: Command, atUs: bigint): Decision {
  const decider = deciderOf(world.rules, command.stream);
  const before = streamIn(world, command.stream);
  const { decision, looked } = decideOnce(world, decider, before.state, command, atUs);
  const state = evolveAll(world, decider, before.state, isRejection(decision) ? [] : decision.events);
  const { opens = [], postings = [] } = isRejection(decision) ? {} : decision;
  const refusals = post(world.ledger, { pos: world.head, atUs, opens, postings });
  if (refusals.length > 0)
    throw new Error(`the ledger refuses ${command.type}: ${refusals.map((r) => r.problem).join('; ')}`);
  const owner = decider.owner(state);
  const receipt = receiptOf(decision, {
    issuer: MEMORY_ISSUER,
    command,
    seq: before.seq + 1,
    prev: before.hash,
    owner,
    seen: looked,
    from: before.version,
    stateHash: sha256Hex(jcs(state)),
    policyHash: world.rules.policy.hash,
    atUs,
    salt: world.head.toString(16).padStart(32, '0'),
  });
  const hash = sha256Hex(jcs(receipt as unknown as JsonObject));
  world.streams.set(command.stream, { version: receipt.decision.to, seq: receipt.seq, hash, state, owner });
  world.receipts.push(receipt);
  world.head++;
  world.atUs = atUs;
  return decision;
}

function decideOnce(world: Memory, decider: Decider, state: JsonObject, command: Command, atUs: bigint) {
  const decide = () => {
    const { seen, looked } = watchSeen(decider.reads(command), sourceOf(world, atUs));
    return { decision: decider.decide(state, command, seen), looked };
  };
  if (!world.isStrict) return decide();
  deepFreeze(state);
  const [first, second] = [decide(), decide()];
  if (textOf(first.decision) !== textOf(second.decision) || jcs(first.looked) !== jcs(second.looked))
    throw new Error(`${command.type} is not deterministic: deciding twice gives two decisions`);
  return first;
}

function evolveAll(world: Memory, decider: Decider, before: JsonObject, events: DomainEvent[]): JsonObject {
  const evolve = (): JsonObject => events.reduce((state, event) => decider.evolve(state, event), before);
  if (!world.isStrict) return evolve();
  deepFreeze(events);
  const [first, second] = [evolve(), evolve()];
  if (jcs(first) !== jcs(second)) throw new Error(`evolve of ${decider.kind} is not deterministic`);
  return deepFreeze(first);
}

/** Timers, outbox rows and reactions of an accepted command. */
function follow(
  world: Memory,
  stream: string,
  decision: Accepted,
  at: { pos: number; atUs: bigint },
  waiting: Command[],
): void {
  for (const timer of decision.timers ?? []) {
    if (timer.dueUs === undefined) world.timers.delete(timer.timer);
    else world.timers.set(timer.timer, timer);
  }
  (decision.outbox ?? []).forEach((message, ord) => {
    world.outbox.push({ ...message, ...at, ord });
  });
  const { owner } = streamIn(world, stream);
  decision.events.forEach((event, ord) => {
    waiting.push(...reactionsTo(world.rules, event, { stream, owner, ord, ...at }));
  });
}

/** The commands that an event sets off, with the keys that make them happen once. */
export function reactionsTo(rules: Rules, event: DomainEvent, place: EventPlace): Command[] {
  const commands = rules.reactions
    .filter(({ on }) => on === event.type)
    .flatMap((reaction) => reaction.commands(event, place));
  return commands.map((command: Alarm, n) => ({
    ...command,
    principal: 'reaction',
    key: `reaction:${place.pos}.${place.ord}.${n}`,
  }));
}

function fireDue(world: Memory, atUs: bigint): Outcome[] {
  const outcomes: Outcome[] = [];
  for (let due = firstTimer(world); due?.dueUs !== undefined && due.dueUs <= atUs; due = firstTimer(world)) {
    if (outcomes.length >= TIMERS_FIRED_MAX) throw new Error(`more than ${TIMERS_FIRED_MAX} timers are due at ${atUs}`);
    const key = `${due.timer}:${due.round}`;
    const outcome = world.execute({ ...due.command, principal: 'timer', key, firedBy: due.timer }, atUs);
    if (outcome.replayed || outcome.rejection === 'CONFLICT') world.timers.delete(due.timer);
    outcomes.push(outcome);
  }
  return outcomes;
}

function advance(world: Memory, untilUs: bigint): Outcome[] {
  const outcomes: Outcome[] = [];
  for (let due = world.nextDueUs(); due !== undefined && due <= untilUs; due = world.nextDueUs()) {
    if (outcomes.length >= TIMERS_FIRED_MAX)
      throw new Error(`more than ${TIMERS_FIRED_MAX} timers are due until ${untilUs}`);
    outcomes.push(...fireDue(world, due > world.atUs ? due : world.atUs));
  }
  return outcomes;
}

function firstTimer(world: World): Timer | undefined {
  let first: Timer | undefined;
  for (const timer of world.timers.values()) if (first === undefined || timer.dueUs! < first.dueUs!) first = timer;
  return first;
}

function outcomeOf(decision: Decision, pos: number, atUs: bigint): Outcome {
  const told = { pos, replayed: false, atUs };
  if (!isRejection(decision)) return decision.answer === undefined ? told : { ...told, answer: decision.answer };
  const { rejection, facts } = decision;
  return facts === undefined ? { ...told, rejection } : { ...told, rejection, facts };
}

/** Everything a decision says, as canonical text. */
function textOf(decision: Decision): string {
  const { timers = [], outbox = [], answer = null } = isRejection(decision) ? {} : decision;
  const alarms = timers.map(({ dueUs, ...timer }) => ({
    ...timer,
    due_us: dueUs === undefined ? null : String(dueUs),
  }));
  return jcs({ ...effectsOf(decision), timers: alarms, outbox, answer } as unknown as JsonObject);
}
