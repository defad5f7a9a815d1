/**
 * What a caller is told about a command, and told again for the same key.
 * Promise: a repeat of the same request is told the same; another request under the same key is told what the first was.
 */
import { type Json, type JsonObject, receiptIdOf } from '@tallystick/kernel';

export interface Outcome {
  /** Position of the receipt in the shard's log; -1 for LIMITED, which leaves none. */
  pos: number;
  /** `rcp_…`; empty for LIMITED. */
  receiptId: string;
  /** The same request had come before: this is its first answer. */
  replayed: boolean;
  /** Microseconds since 1970. */
  atUs: bigint;
  answer?: Json;
  rejection?: string;
  facts?: JsonObject;
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
