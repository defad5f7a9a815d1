/**
 * A transaction of ours on its way to a chain: signed once, sent as often as it takes, final when the chain says so.
 * Promise: the signed bytes stand in the log before they leave; a nonce is used by one transaction, and what replaces it keeps it.
 */
import {
  type Accepted,
  type Command,
  countIn,
  type DomainEvent,
  type JsonObject,
  nonceAccount,
  optionalIn,
  type Reads,
  type Rejection,
  type Seen,
  textIn,
} from '@tallystick/kernel';
import { type SignerState, signerStream } from './signer.ts';

/** Topic of the outbox under which a stream asks to be signed and sent: `{stream}`. */
export const BROADCAST_TOPIC = 'broadcast';
/** One transaction is replaced by a dearer one so many times at most. */
export const ATTEMPTS_MAX = 8;

export type Attempt = {
  hash: string;
  /** The signed bytes, 0x and hex digits. */
  raw: string;
  max_fee_wei: string;
};

/** What a stream that leads to a transaction knows of it. */
export type Broadcast = {
  /** `none`: not signed; `signed`: it may be mined at any time; `final`: deep enough, and it did what it says;
   * `failed`: deep enough and undone by the contract, or its nonce was used by something else. */
  phase: 'none' | 'signed' | 'final' | 'failed';
  rail: string;
  /** Lower case. */
  signer: string;
  nonce: string;
  /** Oldest first; the chain takes at most one of them. */
  attempts: Attempt[];
  /** Of the attempt that the chain took; empty before, and when it took none. */
  hash: string;
  block: string;
  block_hash: string;
};

export const NO_BROADCAST: Broadcast = {
  phase: 'none',
  rail: '',
  signer: '',
  nonce: '',
  attempts: [],
  hash: '',
  block: '',
  block_hash: '',
};

const COMMANDS = new Set(['SignTransaction', 'ReplaceTransaction', 'ConcludeTransaction']);
const EVENTS = new Set(['TransactionSigned', 'TransactionReplaced', 'TransactionConcluded']);

/** Whether `decideBroadcast` knows the command. */
export const isBroadcastCommand = ({ type }: Pick<Command, 'type'>): boolean => COMMANDS.has(type);
/** Whether `evolveBroadcast` knows the event. */
export const isBroadcastEvent = ({ type }: DomainEvent): boolean => EVENTS.has(type);

/** What a broadcast command wants to see. */
export function broadcastReads({ type, body }: Command): Required<Reads> {
  if (type !== 'SignTransaction') return { streams: [], accounts: [] };
  const [rail, signer, nonce] = [textIn(body, 'rail'), textIn(body, 'signer'), textIn(body, 'nonce')];
  return {
    streams: [signerStream(rail, signer)],
    accounts: [nonce, before(nonce)].map((n) => nonceAccount(rail, signer, n)),
  };
}

const before = (nonce: string): string => String(BigInt(nonce) - 1n);

/**
 * Decides a broadcast command for the stream that it belongs to, which says itself whether it may be signed.
 * `SignTransaction {rail, signer, nonce, hash, raw, max_fee_wei}`, `ReplaceTransaction {hash, raw, max_fee_wei}`,
 * `ConcludeTransaction {succeeded, hash, block, block_hash}`; a hash that is empty: the nonce was used by something else, and the command
 * says by what (`by`) and how many attempts were known to whoever looked (`attempts`).
 */
export function decideBroadcast(state: Broadcast, command: Command, seen: Seen): Accepted | Rejection {
  if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
  if (command.type === 'SignTransaction') return sign(state, command.body, seen);
  if (state.phase !== 'signed') return { rejection: 'NOTHING_TO_CHANGE' };
  return command.type === 'ReplaceTransaction' ? replace(state, command.body) : conclude(state, command.body);
}

/** The next nonce of the signer and no other: a gap would hold up everything behind it. */
function sign(state: Broadcast, body: JsonObject, seen: Seen): Accepted | Rejection {
  if (state.phase !== 'none') return { rejection: 'NOTHING_TO_CHANGE' };
  const [rail, signer, nonce] = [textIn(body, 'rail'), textIn(body, 'signer'), textIn(body, 'nonce')];
  const { status, from_nonce } = seen.state(signerStream(rail, signer)) as SignerState;
  if (status === '') return { rejection: 'NOT_FOUND' };
  const isTaken = (n: string): boolean => seen.availableMicros(nonceAccount(rail, signer, n)) !== undefined;
  const isNext = nonce === from_nonce || (BigInt(nonce) > BigInt(from_nonce) && isTaken(before(nonce)));
  if (!isNext || isTaken(nonce)) return { rejection: 'NONCE_TAKEN', facts: { nonce } };
  const [hash, raw, max_fee_wei] = [textIn(body, 'hash'), textIn(body, 'raw'), textIn(body, 'max_fee_wei')];
  return {
    events: [{ type: 'TransactionSigned', body: { rail, signer, nonce, hash, raw, max_fee_wei } }],
    opens: [{ account: nonceAccount(rail, signer, nonce), asset: 'usd', noOverdraft: true }],
    evidence: [{ tx: hash }],
  };
}

function replace({ attempts }: Broadcast, body: JsonObject): Accepted | Rejection {
  const [hash, raw, max_fee_wei] = [textIn(body, 'hash'), textIn(body, 'raw'), textIn(body, 'max_fee_wei')];
  const newest = attempts.at(-1)!;
  const isDearer = BigInt(max_fee_wei) > BigInt(newest.max_fee_wei);
  if (!isDearer || attempts.length >= ATTEMPTS_MAX) return { rejection: 'NOTHING_TO_CHANGE' };
  return { events: [{ type: 'TransactionReplaced', body: { hash, raw, max_fee_wei } }], evidence: [{ tx: hash }] };
}

function conclude(state: Broadcast, body: JsonObject): Accepted | Rejection {
  const [hash, succeeded] = [textIn(body, 'hash'), body['succeeded'] === true];
  const place = { hash, block: textIn(body, 'block'), block_hash: textIn(body, 'block_hash') };
  const events = [{ type: 'TransactionConcluded', body: { ...place, succeeded } }];
  if (hash === '') return displacementRefusal(state, body) ?? { events, evidence: [{ tx: textIn(body, 'by') }] };
  if (!isAttempt(state, hash)) return { rejection: 'NOT_FOUND' };
  return { events, evidence: [{ tx: hash, block_hash: place.block_hash }] };
}

const isAttempt = ({ attempts }: Broadcast, hash: string): boolean => attempts.some((one) => one.hash === hash);

/**
 * Undefined when something else took the nonce. Whoever looked before a replacement was on record takes that for something else, and what
 * it paid would be given back: so all attempts must have been known, and none of them be what took it.
 */
function displacementRefusal(state: Broadcast, body: JsonObject): Rejection | undefined {
  const by = optionalIn(body, 'by', textIn) ?? '';
  if (by === '' || body['succeeded'] === true) return { rejection: 'NOT_FOUND' };
  const wereAllKnown = optionalIn(body, 'attempts', countIn) === state.attempts.length;
  return wereAllKnown && !isAttempt(state, by)
    ? undefined
    : { rejection: 'NONCE_TAKEN', facts: { nonce: state.nonce } };
}

/** What an event of a broadcast changes; the rest of the stream's state is the stream's own. */
export function evolveBroadcast(state: Broadcast, { type, body }: DomainEvent): Broadcast {
  if (type === 'TransactionConcluded')
    return {
      ...state,
      phase: body['succeeded'] === true ? 'final' : 'failed',
      hash: textIn(body, 'hash'),
      block: textIn(body, 'block'),
      block_hash: textIn(body, 'block_hash'),
    };
  const attempt = { hash: textIn(body, 'hash'), raw: textIn(body, 'raw'), max_fee_wei: textIn(body, 'max_fee_wei') };
  if (type === 'TransactionReplaced') return { ...state, attempts: [...state.attempts, attempt] };
  const [rail, signer, nonce] = [textIn(body, 'rail'), textIn(body, 'signer'), textIn(body, 'nonce')];
  return { ...state, phase: 'signed', rail, signer, nonce, attempts: [attempt] };
}
