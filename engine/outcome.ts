/**
 * What a caller is told about a command, and told again for the same key.
 * Promise: a receipt's id is made of its place alone, so it needs no index and any program can compute it.
 */
import type { Json, JsonObject } from '@tallystick/kernel';

export interface Outcome {
  /** Position of the receipt in the shard's log; -1 for LIMITED, which leaves none. */
  pos: number;
  /** `rcp_…`; empty for LIMITED. */
  receiptId: string;
  /** The key had been used before: this is the first answer. */
  replayed: boolean;
  /** Microseconds since 1970. */
  atUs: bigint;
  answer?: Json;
  rejection?: string;
  facts?: JsonObject;
}

export const SHARD_MAX = 0xfff;

const US_PER_MS = 1_000n;
const RECEIPT_ID = /^rcp_([0-9a-f]{12})7([0-9a-f]{3})8([0-9a-f]{15})$/;

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

/** A UUIDv7 body whose random bits are the shard and the position. */
export const receiptIdOf = (shard: number, pos: number, atUs: bigint): string =>
  `rcp_${hex(atUs / US_PER_MS, 12)}7${hex(shard, 3)}8${hex(pos, 15)}`;

/** Undefined for a text that is no receipt id. */
export function receiptPlace(id: string): { shard: number; pos: number; atMs: number } | undefined {
  const [, atMs, shard, pos] = RECEIPT_ID.exec(id) ?? [];
  if (!atMs || !shard || !pos) return undefined;
  return { shard: Number.parseInt(shard, 16), pos: Number.parseInt(pos, 16), atMs: Number.parseInt(atMs, 16) };
}

/** What stands in the idempotency row; the command's type is there for those who use its key for something else. */
interface StoredAnswer {
  type: string;
  at: string;
  answer?: Json;
  rejection?: string;
  facts?: JsonObject;
}

export function storeAnswer(
  type: string,
  { atUs, answer, rejection, facts }: Omit<Outcome, 'pos' | 'receiptId' | 'replayed'>,
): string {
  const stored: StoredAnswer = { type, at: String(atUs) };
  if (answer !== undefined) stored.answer = answer;
  if (rejection !== undefined) stored.rejection = rejection;
  if (facts !== undefined) stored.facts = facts;
  return JSON.stringify(stored);
}

/** The first outcome again, or CONFLICT when the key was used for another request. */
export function replayAnswer(shard: number, pos: number, text: string, sameRequest: boolean): Outcome {
  const { type, at, ...told } = JSON.parse(text) as StoredAnswer;
  const place = { pos, receiptId: receiptIdOf(shard, pos, BigInt(at)), replayed: true, atUs: BigInt(at) };
  if (sameRequest) return { ...place, ...told };
  return {
    ...place,
    rejection: 'CONFLICT',
    facts: { first_type: type, first_pos: pos, first_receipt: place.receiptId },
  };
}
