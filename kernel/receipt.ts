/**
 * The receipt: the one record of one transition, as canonical JSON.
 * Promise: a receipt holds all that is needed to decide again: the command, what was seen, and what came of it.
 */
import type { Asset } from './decider.ts';
import type { Json, JsonObject } from './json.ts';

export const RECEIPT_TYPE = 'tallystick.receipt';
export const RECEIPT_SCHEMA = 1;

export interface ReceiptPosting {
  kind: 'posted' | 'pending' | 'post' | 'void';
  asset: Asset;
  debit: string;
  credit: string;
  amount_micros: string;
  hold: { pos: number; ord: number } | null;
  expires_us: string | null;
}

/** Stored bytes are the RFC 8785 form of this object and are authoritative. Hashes are lower-case hex SHA-256. */
export interface Receipt {
  type: typeof RECEIPT_TYPE;
  schema: typeof RECEIPT_SCHEMA;
  /** Origin of the log (C2SP checkpoint origin). */
  issuer: string;
  stream: string;
  /** 1 for the stream's first receipt. */
  seq: number;
  /** Hash of the stream's previous receipt bytes; empty for the first. */
  prev: string;
  owner: string | null;
  command: { id: string; actor: string; grant: string; type: string; body: JsonObject; hash: string };
  /** Versions (event counts) of other streams and available amounts that the decision looked at. */
  seen: { streams: { [stream: string]: number }; accounts: { [account: string]: string | null } };
  decision: { from: number; to: number; state_hash: string; rejection: string | null; facts: JsonObject | null };
  events: { type: string; body: JsonObject }[];
  accounts: { account: string; asset: Asset; no_overdraft: boolean }[];
  postings: ReceiptPosting[];
  evidence: Json[];
  policy: { hash: string; rule: string };
  /** Microseconds since 1970, decimal. */
  at_us: string;
  /** 16 random bytes in hex, so that a leaf hash does not reveal a guessable receipt. */
  salt: string;
}
