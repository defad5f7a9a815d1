/**
 * The id of a receipt: a UUIDv7 body whose random bits are the shard and the position.
 * Promise: made of the receipt's place alone, so it needs no index and any program can compute it and read it back.
 */

export const SHARD_MAX = 0xfff;

const US_PER_MS = 1_000n;
const RECEIPT_ID = /^rcp_([0-9a-f]{12})7([0-9a-f]{3})8([0-9a-f]{15})$/;

/** Where a receipt stands. */
export interface ReceiptIdPlace {
  shard: number;
  /** Position in the shard's log, from 0. */
  pos: number;
  /** When it was written, milliseconds since 1970. */
  atMs: number;
}

export const receiptIdOf = (shard: number, pos: number, atUs: bigint): string =>
  `rcp_${hex(atUs / US_PER_MS, 12)}7${hex(shard, 3)}8${hex(pos, 15)}`;

/** Undefined for a text that is no receipt id. */
export function receiptPlace(id: string): ReceiptIdPlace | undefined {
  const [, atMs, shard, pos] = RECEIPT_ID.exec(id) ?? [];
  if (!atMs || !shard || !pos) return undefined;
  const place = { shard: Number.parseInt(shard, 16), pos: Number.parseInt(pos, 16), atMs: Number.parseInt(atMs, 16) };
  return Number.isSafeInteger(place.pos) ? place : undefined;
}

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');
