/**
 * The shape of every rule: decide and evolve, and what a decision may ask the engine to write.
 * Promise: a decider is pure; all it may look at stands in the state, the command or `seen`.
 */
import type { Json, JsonObject } from './json.ts';

/** Someone asks for a transition of one stream. */
export interface Command {
  /** Who asks: a principal id, or `timer`, `reaction`, `platform`, `provider:<id>`. */
  principal: string;
  /** Idempotency key, unique per principal. */
  key: string;
  /** `<kind>:<id>`; the kind names the decider. */
  stream: string;
  /** Imperative noun phrase, e.g. `SellMinute`. */
  type: string;
  body: JsonObject;
  /** Hex SHA-256 of the request as the caller made it; absent: of {stream, type, body}. */
  fingerprint?: string;
  /** Id of the API key or grant that allowed the actor to ask; empty when none. */
  grant?: string;
  /** The timer that fired this command; committing the command clears it unless the decision sets it anew. */
  firedBy?: string;
}

/** A past-tense fact about one stream. */
export interface DomainEvent {
  type: string;
  body: JsonObject;
}

/** Where a hold was made: the receipt's position and the posting's place in it. */
export interface HoldRef {
  pos: number;
  ord: number;
}

/** One debit, one credit, one positive amount. A hold is `pending`; it is resolved once by `post` (whole or part) or `void`. */
export interface Posting {
  kind?: 'posted' | 'pending' | 'post' | 'void';
  asset: Asset;
  debit: string;
  credit: string;
  /** Millionths of the asset's unit; 0 only for `void`. */
  amountMicros: bigint;
  /** The hold that `post` and `void` resolve. */
  hold?: HoldRef;
  /** Only for `pending`: after this moment the hold can only be voided. Microseconds since 1970. */
  expiresUs?: bigint;
}

/** `usd`: money. `cap`: permission to spend money. `slot`: permission to run one more sandbox (1 slot = 1 unit, not micros). */
export type Asset = 'usd' | 'cap' | 'slot';

export interface NewAccount {
  account: string;
  asset: Asset;
  /** The database refuses debits beyond credits. */
  noOverdraft: boolean;
}

/** A durable alarm. It fires `command` with the key `<timer>:<round>` at or after `dueUs`; `dueUs` undefined clears it. */
export interface Timer {
  timer: string;
  round: number;
  dueUs: bigint | undefined;
  command: Pick<Command, 'stream' | 'type' | 'body'>;
}

/** Work for the outside world, delivered at least once after the commit; receivers deduplicate by `<pos>.<ord>`. */
export interface OutboxMessage {
  topic: string;
  body: JsonObject;
}

export interface Accepted {
  events: DomainEvent[];
  postings?: Posting[];
  opens?: NewAccount[];
  timers?: Timer[];
  outbox?: OutboxMessage[];
  /** What the caller is told, and told again for the same key. */
  answer?: Json;
  /** Facts from outside that the rule relied on (a signed message, a transaction hash). */
  evidence?: Json[];
  /** Name of the policy rule that allowed or clamped it, e.g. `job_spend_cap`. */
  rule?: string;
}

/** The rule said no; nothing changes but the log. `facts` name the cap, what was asked and what is available. */
export interface Rejection {
  rejection: string;
  facts?: JsonObject;
}

export type Decision = Accepted | Rejection;

export const isRejection = (decision: Decision): decision is Rejection => 'rejection' in decision;

/** What a command wants to see besides its own stream. */
export interface Reads {
  /** Other streams whose state decide looks at. */
  streams?: string[];
  /** Accounts whose available amount decide looks at. */
  accounts?: string[];
}

/** Everything outside the aggregate, read by the engine as of the same head. Asking for what `reads` did not name throws. */
export interface Seen {
  /** The engine's clock, microseconds since 1970; never goes back within a shard. */
  atUs: bigint;
  /** State of another stream, its decider's `initial` when it does not exist. */
  state(stream: string): JsonObject;
  /** Credits minus debits minus holds on the debit side; undefined for an unknown account. */
  availableMicros(account: string): bigint | undefined;
}

/** One aggregate. `S` is plain JSON: money as decimal strings, times as microseconds in decimal strings. */
export interface Decider<S extends JsonObject = JsonObject> {
  /** Prefix of its streams. */
  kind: string;
  initial: S;
  /** From the command alone, so that one read loads everything. */
  reads(command: Command): Reads;
  decide(state: S, command: Command, seen: Seen): Decision;
  evolve(state: S, event: DomainEvent): S;
  /** The principal who may read the stream and its receipts; null: the platform alone. */
  owner(state: S): string | null;
}

/** Where an event stands, for reactions. */
export interface EventPlace {
  stream: string;
  owner: string | null;
  pos: number;
  ord: number;
  atUs: bigint;
}

/** A pure event -> commands rule; delivered at least once with a key made of the event's place, so carried out once. */
export interface Reaction {
  on: string;
  commands(event: DomainEvent, place: EventPlace): Pick<Command, 'stream' | 'type' | 'body'>[];
}

/** The policy that a process decides under; its hash stands in every receipt. */
export interface Policy {
  version: string;
  /** Hex SHA-256 of the policy's canonical JSON. */
  hash: string;
}

/** Everything the engine, the simulator and the verifier need to know of the planes. */
export interface Rules {
  deciders: ReadonlyMap<string, Decider>;
  reactions: readonly Reaction[];
  policy: Policy;
}

/** The kind of a stream name. */
export const kindOf = (stream: string): string => stream.slice(0, stream.indexOf(':'));

/** @errors throws TypeError when no decider has the stream's kind. */
export function deciderOf(rules: Rules, stream: string): Decider {
  const decider = rules.deciders.get(kindOf(stream));
  if (!decider) throw new TypeError(`no decider for the stream ${stream}`);
  return decider;
}
