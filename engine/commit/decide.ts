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
  RECEIPT_SCHEMA,
  RECEIPT_TYPE,
  type ReceiptPosting,
  type Rules,
  type Seen,
  sha256Hex,
} from '@tallystick/kernel';
import { type Outcome, receiptIdOf, storeAnswer } from '../outcome.ts';
import { type Draft, holdName, type StreamHead } from './cache.ts';
import type { Pending } from './pending.ts';

const MICROS_MAX = 2n ** 63n - 1n;
export const REACTION_PREFIX = 'reaction:';
export const QUARANTINED = 'QUARANTINED';

export interface Place {
  shard: number;
  pos: number;
  atUs: bigint;
  issuer: string;
  /** Hex SHA-256 of the policy decided under. */
  policyHash: string;
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

/** The amounts of these holds must be read before the command can be applied. */
export class HoldsMissing extends Error {
  readonly holds: string[];
  constructor(holds: string[]) {
    super('holds to read first');
    this.holds = holds;
  }
}

/** @errors throws HoldsMissing; throws whatever the rule throws. */
export function decideCommand(rules: Rules, draft: Draft, pending: Pending, place: Place): Decided {
  const before = draft.stream(pending.command.stream);
  const seen = new Recorder(draft, pending, place.atUs);
  const decision = pending.quarantinedFor
    ? { rejection: QUARANTINED, facts: { sqlstate: pending.quarantinedFor } }
    : pending.decider.decide(before.state, pending.command, seen);
  const accepted: Accepted = isRejection(decision) ? { events: [] } : decision;
  assertPostings(accepted.postings ?? [], draft);
  const after = evolveHead(before, pending, accepted, place);
  const payload = writeReceipt(pending, decision, accepted, seen, before, after, place);
  const outcome = outcomeOf(decision, place);
  const reactions = reactionsTo(rules, accepted, pending, after.owner, place);
  return {
    accepted,
    payload,
    outcome,
    reactions,
    head: { ...after, receiptHash: sha256Hex(payload) },
    answerText: storeAnswer(pending.command.type, outcome),
    timers: timersOf(pending, accepted, reactions, place),
    outbox: (accepted.outbox ?? []).map(({ topic, body }) => ({ topic, lane: laneOf(body), body: jcs(body) })),
  };
}

/** What the rule looked at, for its receipt. */
class Recorder implements Seen {
  readonly atUs: bigint;
  readonly streams: { [stream: string]: number } = {};
  readonly accounts: { [account: string]: string | null } = {};
  readonly #draft: Draft;
  readonly #pending: Pending;

  constructor(draft: Draft, pending: Pending, atUs: bigint) {
    this.#draft = draft;
    this.#pending = pending;
    this.atUs = atUs;
  }

  state(stream: string): JsonObject {
    if (!this.#pending.mayRead.streams.has(stream)) throw new TypeError(`reads() did not name the stream ${stream}`);
    const head = this.#draft.stream(stream);
    this.streams[stream] = head.version;
    return head.state;
  }

  availableMicros(account: string): bigint | undefined {
    if (!this.#pending.mayRead.accounts.has(account))
      throw new TypeError(`reads() did not name the account ${account}`);
    const amountMicros = this.#draft.availableMicros(account);
    this.accounts[account] = amountMicros === undefined ? null : String(amountMicros);
    return amountMicros;
  }
}

/** What the database could not even be asked is a bug of the rule; everything else the database refuses by itself. */
function assertPostings(postings: Posting[], draft: Draft): void {
  for (const { amountMicros } of postings) {
    if (amountMicros > MICROS_MAX || amountMicros < -MICROS_MAX)
      throw new TypeError(`an amount beyond 64 bits: ${amountMicros}`);
  }
  const unknown = postings.flatMap(({ hold }) => (hold && !draft.knowsHold(holdName(hold)) ? [holdName(hold)] : []));
  if (unknown.length > 0) throw new HoldsMissing(unknown);
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

function writeReceipt(
  pending: Pending,
  decision: Decision,
  accepted: Accepted,
  seen: Recorder,
  before: StreamHead,
  after: StreamHead,
  place: Place,
): string {
  const { command, id, fingerprint } = pending;
  const refused = isRejection(decision);
  return jcs({
    type: RECEIPT_TYPE,
    schema: RECEIPT_SCHEMA,
    issuer: place.issuer,
    stream: command.stream,
    seq: after.receiptSeq,
    prev: before.receiptHash,
    owner: after.owner,
    command: {
      id,
      actor: command.principal,
      grant: command.grant ?? '',
      type: command.type,
      body: command.body,
      hash: fingerprint,
    },
    seen: { streams: seen.streams, accounts: seen.accounts },
    decision: {
      from: before.version,
      to: after.version,
      state_hash: after.stateHash,
      rejection: refused ? decision.rejection : null,
      facts: refused ? (decision.facts ?? null) : null,
    },
    events: accepted.events.map(({ type, body }) => ({ type, body })),
    accounts: (accepted.opens ?? []).map(({ account, asset, noOverdraft }) => ({
      account,
      asset,
      no_overdraft: noOverdraft,
    })),
    postings: (accepted.postings ?? []).map((posting) => ({ ...receiptPosting(posting) })),
    evidence: accepted.evidence ?? [],
    policy: { hash: place.policyHash, rule: accepted.rule ?? '' },
    at_us: String(place.atUs),
    salt: place.salt,
  });
}

const receiptPosting = ({ kind, asset, debit, credit, amountMicros, hold, expiresUs }: Posting): ReceiptPosting => ({
  kind: kind ?? 'posted',
  asset,
  debit,
  credit,
  amount_micros: String(amountMicros),
  hold: hold ? { pos: hold.pos, ord: hold.ord } : null,
  expires_us: expiresUs === undefined ? null : String(expiresUs),
});

function outcomeOf(decision: Decision, { shard, pos, atUs }: Place): Outcome {
  const place = { pos, receiptId: receiptIdOf(shard, pos, atUs), replayed: false, atUs };
  if (!isRejection(decision)) return decision.answer === undefined ? place : { ...place, answer: decision.answer };
  return decision.facts
    ? { ...place, rejection: decision.rejection, facts: decision.facts }
    : { ...place, rejection: decision.rejection };
}

function reactionsTo(
  rules: Rules,
  accepted: Accepted,
  { command }: Pending,
  owner: string | null,
  { pos, atUs }: Place,
): Command[] {
  return accepted.events.flatMap((event, ord) => {
    const asked = rules.reactions
      .filter((reaction) => reaction.on === event.type)
      .flatMap((reaction) => reaction.commands(event, { stream: command.stream, owner, pos, ord, atUs }));
    return asked.map(({ stream, type, body }, n): Command => {
      const timer = `${REACTION_PREFIX}${pos}.${ord}.${n}`;
      return { principal: 'reaction', key: timer, firedBy: timer, stream, type, body };
    });
  });
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
