/**
 * Receipts: the record of everything that happened, and its offline proof.
 * Promise: an export reaches its place whole or not at all.
 */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Receipt } from '@tallystick/proto';
import { type Asked, askedOf } from './ids.ts';
import { pagesOf } from './pages.ts';
import type { Link } from './services.ts';

export interface Receipts {
  /** Oldest first. `stream` names one stream, e.g. `sandbox:sbx_…`. */
  list(filter?: Asked & { stream?: string }): AsyncIterable<Receipt>;
  /** With its inclusion proof. */
  get(id: string, options?: Asked): Promise<Receipt>;
  /**
   * Everything needed to verify offline, as bytes.
   * @example for await (const bytes of tally.receipts.stream()) hash.update(bytes);
   */
  stream(options?: Asked): AsyncIterable<Uint8Array>;
  /**
   * Writes the export to a file and says its size.
   * @example await tally.receipts.export('receipts.jsonl'); // then: tally verify receipts.jsonl
   */
  export(toPath: string, options?: Asked): Promise<{ bytes: number }>;
}

/** @internal */
export function receiptsOf(link: Link): Receipts {
  const { receipts } = link.services;
  return {
    list: (filter = {}) =>
      pagesOf(async (pageToken) => {
        const page = await receipts.listReceipts({ pageToken, stream: filter.stream ?? '' }, askedOf(filter));
        return { items: page.receipts, next: page.nextPageToken };
      }),
    get: (id, options) => receipts.getReceipt({ id }, askedOf(options)),
    stream: (options) => link.export(options),
    async export(toPath, options) {
      return { bytes: await writeWhole(toPath, link.export(options)) };
    },
  };
}

/** Writes beside, then moves into place. Says the size. @internal */
export async function writeWhole(path: string, source: AsyncIterable<Uint8Array>, mode = 0o644): Promise<number> {
  const beside = `${path}.part`;
  let bytes = 0;
  const counted = async function* () {
    for await (const chunk of source) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  try {
    await pipeline(Readable.from(counted()), createWriteStream(beside, { mode }));
    await rename(beside, path);
  } catch (fault) {
    await rm(beside, { force: true });
    throw fault;
  }
  return bytes;
}
