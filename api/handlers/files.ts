/**
 * Files of a sandbox: named by their digest in a receipt, then carried.
 * Promise: an upload is whole or absent; a key used for other bytes is refused before anything is written.
 */
import { createHash } from 'node:crypto';
import type { Engine } from '@tallystick/engine';
import type { ByteRange, Provider } from '@tallystick/engine/adapters/provider';
import { FileService } from '@tallystick/proto';
import { implement, refuseInvalid } from '@tallystick/surface';
import { askFiles } from '../file-refusal.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { spoolBody, UPLOAD_BYTES_MAX } from '../spool.ts';
import { tarContent } from '../tar-content.ts';
import { timestampFromUs } from '../view-parts.ts';
import { workingSandbox } from './working-sandbox.ts';

const BYTES_PER_MIB = 1024 * 1024;

/** Behind the end of every file. */
const POSITION_MAX = 10 ** 15 - 1;
const PART_OF_A_TREE = { pointer: '/offset', detail: 'a part of a tar stream is no tree', rule: 'download.part' };

/** Undefined for the whole file; a range names its last byte. */
function rangeOf(offset: bigint, length: bigint | undefined): ByteRange | undefined {
  if (offset === 0n && length === undefined) return undefined;
  const start = Math.min(Number(offset), POSITION_MAX);
  return length === undefined ? { start } : { start, end: Math.min(start + Number(length) - 1, POSITION_MAX) };
}

export const fileHandlers = (engine: Engine, provider: Provider) =>
  implement(FileService, {
    async uploadFile({ id, path, unpack }, call) {
      const { disk_mib: diskMib } = await workingSandbox(engine, call, id);
      if (!call.body)
        throw refuseInvalid([
          { pointer: '', detail: 'the request needs a body: the bytes to write', rule: 'body.required' },
        ]);
      // a file that is larger than the disk fits nowhere; of a tree only the machine can say
      const bytesMax = unpack ? UPLOAD_BYTES_MAX : Math.min(UPLOAD_BYTES_MAX, diskMib * BYTES_PER_MIB);
      const content = tarContent();
      await using spool = await spoolBody(call.body, bytesMax, unpack ? content.look : undefined);
      const { bytes, sha256 } = spool;
      const fingerprint = createHash('sha256').update(`${call.fingerprint}\n${sha256}`).digest('hex');
      const command = commandFrom(call, {
        stream: `sandbox:${id}`,
        type: 'RecordUpload',
        body: { path, bytes, sha256, unpack },
      });
      const { receiptId } = await executeFor(engine, call, { ...command, fingerprint });
      await askFiles({ path }, async () =>
        unpack
          ? provider.putTree(id, path, spool.stream(), content.bytes())
          : provider.putFile(id, path, spool.stream(), sha256, bytes),
      );
      return { sandboxId: id, path, bytes: BigInt(bytes), sha256, receiptId };
    },
    async downloadFile({ id, path, pack, offset, length }, call) {
      const range = rangeOf(offset, length);
      if (pack && range) throw refuseInvalid([PART_OF_A_TREE]);
      await workingSandbox(engine, call, id);
      const stream = await askFiles({ path }, () =>
        pack ? provider.getTree(id, path) : provider.getFile(id, path, range),
      );
      return { stream };
    },
    async listFiles({ id, path }, call) {
      await workingSandbox(engine, call, id);
      const { entries, truncated } = await askFiles({ path }, () => provider.listFiles(id, path || '.'));
      return {
        truncated,
        entries: entries.map(({ name, type, bytes, mode, modified_us }) => ({
          name,
          type,
          bytes: BigInt(bytes),
          mode,
          modifiedAt: timestampFromUs(BigInt(Math.trunc(modified_us))),
        })),
      };
    },
  });
