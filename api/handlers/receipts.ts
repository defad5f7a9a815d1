/**
 * Receipts, proofs and exports.
 * Promise: a caller reads its own receipts and the public facts of the log, and nobody else's.
 */
import {
  consistency,
  type Engine,
  FROM_START,
  inclusion,
  latestCheckpoint,
  type ReceiptRow,
  readReceipt,
  readReceipts,
} from '@tallystick/engine';
import { logVerifierOf, type Receipt, receiptIdOf, sha256Hex } from '@tallystick/kernel';
import { ReceiptService } from '@tallystick/proto';
import { implement, refuse, refuseInvalid } from '@tallystick/surface';
import { type ExportOptions, exportLines } from '../export.ts';
import { nextToken, pageOf } from '../page.ts';
import { timestampFromUs } from '../view-parts.ts';

const RECEIPTS_PER_PAGE = 100;

export const receiptHandlers = (options: ExportOptions) => {
  const { engine } = options;
  return implement(ReceiptService, {
    async listReceipts(request, call) {
      const page = pageOf(request, RECEIPTS_PER_PAGE);
      const owner = call.principal!.id;
      const which = request.stream === '' ? { owner } : { stream: request.stream };
      const rows = await readReceipts(engine, { ...which, after: page.after ?? FROM_START, limit: page.limit });
      return {
        receipts: rows.filter((row) => isOwn(row, owner)).map((row) => receiptMessage(engine, row)),
        nextPageToken: nextToken(page, rows.length, rows.at(-1)?.pos),
      };
    },
    exportReceipts: (_request, call) => ({ stream: exportLines(options, call.principal!.id) }),
    async getReceipt({ id }, call) {
      const row = await readReceipt(engine, id);
      if (!row || row.owner !== call.principal!.id) throw refuse('NOT_FOUND', {}, `there is no receipt ${id} for you`);
      const checkpoint = await signedCheckpoint(engine);
      const path = await inclusion(engine, row.pos, checkpoint.size);
      const proof = { checkpoint: checkpoint.note, size: BigInt(checkpoint.size), path: path.map(base64) };
      return { ...receiptMessage(engine, row), inclusion: proof };
    },
    async getCheckpoint() {
      const { note, size } = await signedCheckpoint(engine);
      return { note, size: BigInt(size), verifier: logVerifierOf(engine.logKey) };
    },
    async getConsistencyProof({ from, to }) {
      const newest = (await signedCheckpoint(engine)).size;
      const [oldSize, newSize] = [Number(from), to === 0n ? newest : Number(to)];
      if (oldSize > newSize || newSize > newest) {
        throw refuseInvalid([
          { pointer: '/to', detail: `the log has ${newest} receipts; from must not be above to`, rule: 'log.range' },
        ]);
      }
      const path = oldSize === 0 || oldSize === newSize ? [] : await consistency(engine, oldSize, newSize);
      return { from: BigInt(oldSize), to: BigInt(newSize), path: path.map(base64) };
    },
  });
};

/** Of one stream only those that are the caller's. */
const isOwn = ({ bytes }: ReceiptRow, owner: string): boolean => parsed(bytes).owner === owner;

async function signedCheckpoint(engine: Engine): Promise<{ size: number; note: string }> {
  const checkpoint = await latestCheckpoint(engine);
  if (!checkpoint) throw refuse('NOT_FOUND', {}, 'the log is empty');
  return checkpoint;
}

function receiptMessage(engine: Engine, { pos, bytes }: ReceiptRow) {
  const receipt = parsed(bytes);
  return {
    id: receiptIdOf(engine.shard, pos, BigInt(receipt.at_us)),
    pos: BigInt(pos),
    stream: receipt.stream,
    seq: BigInt(receipt.seq),
    command: receipt.command.type,
    events: receipt.events.map(({ type }) => type),
    rejection: receipt.decision.rejection ?? '',
    at: timestampFromUs(receipt.at_us),
    body: bytes.toString('utf8'),
    sha256: sha256Hex(bytes),
  };
}

const parsed = (bytes: Buffer): Receipt => JSON.parse(bytes.toString('utf8')) as Receipt;
const base64 = (hash: Buffer): string => hash.toString('base64');
