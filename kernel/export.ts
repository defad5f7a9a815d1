/**
 * The lines of a receipt export: header, receipts with inclusion proofs, run tickets, end.
 * Promise: every line is canonical JSON and a newline, so that equal exports are equal bytes and one flipped byte has a line.
 */
import { jcs } from './canonical.ts';
import type { Policy } from './decider.ts';
import type { Envelope } from './dsse.ts';
import { createSha256 } from './hashes.ts';
import type { JsonObject } from './json.ts';

export const EXPORT_TYPE = 'tallystick.export';
export const EXPORT_END_TYPE = 'tallystick.export.end';
export const EXPORT_SCHEMA = 1;
/** Longest line, newline included. */
export const EXPORT_LINE_BYTES_MAX = 4 * 1024 * 1024;
/** A log of 2^53 leaves has no longer path. */
export const EXPORT_PROOF_HASHES_MAX = 53;
export const EXPORT_LEASE_KEYS_MAX = 64;

/** A key that signs RunTickets. */
export interface ExportLeaseKey {
  keyid: string;
  /** Base64 of the 32 raw bytes. */
  public_key: string;
}

/** First line: what the rest is checked against. */
export interface ExportHeader {
  type: typeof EXPORT_TYPE;
  schema: typeof EXPORT_SCHEMA;
  /** Origin of the log; the issuer of every receipt. */
  origin: string;
  /** C2SP verifier key of the log. */
  log_verifier: string;
  /** Signed note of the root that all proofs lead to. */
  checkpoint: string;
  /** Leaves under that root. */
  size: number;
  lease_keys: ExportLeaseKey[];
  /** Whose streams these are; null: the whole log. */
  owner: string | null;
  policy: Policy;
  /** Microseconds since 1970, decimal. */
  exported_at_us: string;
}

/** One receipt; lines ascend by `pos`. */
export interface ExportReceipt {
  /** Leaf index in the log, from 0. */
  pos: number;
  /** The stored bytes as text. */
  receipt: string;
  /** Base64 hashes from the leaf upwards (RFC 9162, 2.1.3). */
  proof: string[];
}

/** One signed RunTicket; stands after the receipt of its sale. */
export interface ExportTicket {
  ticket: Envelope;
}

/** Last line. Both digests are lower-case hex SHA-256. */
export interface ExportEnd {
  type: typeof EXPORT_END_TYPE;
  receipts: number;
  tickets: number;
  /** Of the first line with its newline: says whether the header is what differs. */
  header_sha256: string;
  /** Of all previous bytes. */
  sha256: string;
}

export const exportHeaderLine = (header: Omit<ExportHeader, 'type' | 'schema'>): string =>
  line({ ...header, type: EXPORT_TYPE, schema: EXPORT_SCHEMA });

/** @errors throws TypeError when the stored bytes are not UTF-8 */
export const exportReceiptLine = (pos: number, stored: string | Uint8Array, proof: Uint8Array[]): string =>
  line({ pos, receipt: textOf(stored), proof: proof.map((hash) => Buffer.from(hash).toString('base64')) });

export const exportTicketLine = (ticket: Envelope): string => line({ ticket });

/** Follows an export while it is written or read. Give it every line in order, the end line excepted. */
export interface ExportDigest {
  /** Adds a line with its newline and returns it unchanged. */
  add<L extends string | Uint8Array>(line: L): L;
  /** The end line; nothing can be added after it. */
  endLine(counts: { receipts: number; tickets: number }): string;
}

export function createExportDigest(): ExportDigest {
  const [header, all] = [createSha256(), createSha256()];
  let isHeader = true;
  return {
    add(text) {
      if (isHeader) header.add(text);
      isHeader = false;
      all.add(text);
      return text;
    },
    endLine: ({ receipts, tickets }) =>
      line({ type: EXPORT_END_TYPE, receipts, tickets, header_sha256: header.hex(), sha256: all.hex() }),
  };
}

const line = (value: object): string => `${jcs(value as JsonObject)}\n`;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const textOf = (stored: string | Uint8Array): string => (typeof stored === 'string' ? stored : UTF8.decode(stored));
