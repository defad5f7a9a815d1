/**
 * One command, decided on the draft and written down: its receipt, its rows, its answer.
 * Promise: nothing is changed here; when a rule throws, the batch goes on as if the command had not come.
 */
import {
  type Accepted,
  type Command,
  type Decision,
  isRejection,
  type Json,
  type JsonObject,
  jcs,
  type Posting,
  QUARANTINE_PREFIX,
  type Rules,
  reactionsTo,
  receiptIdOf,
  receiptOf,
  sha256Hex,
  watchSeen,
} from '@tallystick/kernel';
import { type Outcome, storeAnswer } from '../outcome.ts';
import type { Draft, StreamHead } from './cache.ts';
import type { Pending } from './pending.ts';

const MICROS_MAX = 2n ** 63n - 1n;
export const REACTION_PREFIX = 'reaction:';

export interface Place {
  shard: number;
  pos: number;
  atUs: bigint;
  issuer: string;
  /** 32 hex characters. */
  salt: string;
}

export interface TimerRow {
  timer: string;
  round: number;
  dueUs: bigint | undefined;
  commandText: string;
}

export interface Decided {
  accepted: Accepted;
  head: StreamHead;
  payload: string;
  outcome: Outcome;
  answerText: string;
  timers: TimerRow[];
  outbox: { topic: string; lane: string | null; body: string }[];
  /** Fired by this process right after the commit, by any meter later when it dies before. */
  reactions: Command[];
}

/**
 * Undefined when it resolves holds whose amounts are not known yet: the draft then names them.
 * @errors throws whatever the rule throws.
 */
export function decideCommand(rules: Rules, draft: Draft, pending: Pending, place: Place): Decided | undefined {
  const { command } = pending;
  const before = draft.stream(command.stream);
  const { seen, looked } = watchSeen(pending.reads, {
    atUs: place.atUs,
    stream: (name) => draft.stream(name),
    availableMicros: (account) => draft.availableMicros(account),
  });
  const decision: Decision = pending.quarantinedFor
    ? { rejection: `${QUARANTINE_PREFIX}${pending.quarantinedFor}` }
    : pending.decider.decide(before.state, command, seen);
  const accepted: Accepted = isRejection(decision) ? { events: [] } : decision;
  assertAmounts(accepted.postings ?? []);
  if (!draft.knowsHolds(accepted.postings ?? [])) return undefined;
  const after = evolveHead(before, pending, accepted, place);
  const { issuer, salt, atUs } = place;
  const receipt = receiptOf(decision, {
    issuer,
    command,
    salt,
    atUs,
    owner: after.owner,
    seen: looked,
    seq: after.receiptSeq,
    prev: before.receiptHash,
    from: before.version,
    stateHash: after.stateHash,
    policyHash: rules.policy.hash,
  });
  const payload = jcs(receipt as unknown as JsonObject);
  const outcome = outcomeOf(decision, place);
  const reactions = followUps(rules, accepted, command, after.owner, place);
  return {
    accepted,
    payload,
    outcome,
    reactions,
    head: { ...after, receiptHash: sha256Hex(payload) },
    answerText: storeAnswer(command.type, outcome),
    timers: timersOf(pending, accepted, reactions, place),
    outbox: (accepted.outbox ?? []).map(({ topic, body }) => ({ topic, lane: laneOf(body), body: jcs(body) })),
  };
}

/** What the database could not even be asked is a bug of the rule; everything else the database refuses by itself. */
function assertAmounts(postings: Posting[]): void {
  for (const { amountMicros } of postings) {
    const isStorable = amountMicros <= MICROS_MAX && amountMicros >= -MICROS_MAX;
    if (!isStorable) throw new TypeError(`an amount beyond 64 bits: ${amountMicros}`);
  }
}

function evolveHead(before: StreamHead, { decider }: Pending, { events }: Accepted, { pos }: Place): StreamHead {
  const receiptSeq = before.receiptSeq + 1;
  if (events.length === 0) return { ...before, receiptSeq };
  const state = events.reduce((current, event) => decider.evolve(current, event), before.state);
  const stateText = jcs(state);
  return {
    version: before.version + events.length,
    createdPos: before.createdPos ?? pos,
    receiptSeq,
    receiptHash: before.receiptHash,
    state,
    stateText,
    stateHash: sha256Hex(stateText),
    owner: decider.owner(state),
  };
}

function outcomeOf(decision: Decision, { shard, pos, atUs }: Place): Outcome {
  const place = { pos, receiptId: receiptIdOf(shard, pos, atUs), replayed: false, atUs };
  if (!isRejection(decision)) return decision.answer === undefined ? place : { ...place, answer: decision.answer };
  return decision.facts
    ? { ...place, rejection: decision.rejection, facts: decision.facts }
    : { ...place, rejection: decision.rejection };
}

function followUps(
  rules: Rules,
  accepted: Accepted,
  { stream }: Command,
  owner: string | null,
  { pos, atUs }: Place,
): Command[] {
  const commands = accepted.events.flatMap((event, ord) =>
    reactionsTo(rules, event, { stream, owner, pos, ord, atUs }),
  );
  return commands.map((command) => ({ ...command, firedBy: command.key }));
}

/** Later rows of one name win: firing clears the timer unless the decision sets it anew. */
function timersOf({ command }: Pending, accepted: Accepted, reactions: Command[], { atUs }: Place): TimerRow[] {
  const cleared = command.firedBy ? [{ timer: command.firedBy, round: 0, dueUs: undefined, commandText: '' }] : [];
  const set = (accepted.timers ?? []).map(({ timer, round, dueUs, command: { stream, type, body } }): TimerRow => {
    if (timer.startsWith(REACTION_PREFIX)) throw new TypeError(`a rule may not name its timer ${timer}`);
    return { timer, round, dueUs, commandText: jcs({ stream, type, body }) };
  });
  const asked = reactions.map(
    ({ key, stream, type, body }): TimerRow => ({
      timer: key,
      round: 0,
      dueUs: atUs,
      commandText: jcs({ stream, type, body }),
    }),
  );
  return [...cleared, ...set, ...asked];
}

/** Messages about one sandbox are delivered in order. */
const laneOf = (body: JsonObject): string | null => {
  const lane: Json | undefined = body['sandbox'];
  return typeof lane === 'string' ? lane : null;
};
