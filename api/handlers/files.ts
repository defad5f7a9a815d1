/**
 * Files of a sandbox: named by their digest in a receipt, then carried.
 * Promise: an upload is whole or absent; a key used for other bytes is refused before anything is written.
 */
import { createHash } from 'node:crypto';
import type { Engine } from '@tallystick/engine';
import type { Provider } from '@tallystick/engine/adapters/provider';
import { FileService } from '@tallystick/proto';
import { implement, refuseInvalid } from '@tallystick/surface';
import { commandFrom, executeFor } from '../outcome.ts';
import { askProvider } from '../provider-refusal.ts';
import { spoolBody, UPLOAD_BYTES_MAX } from '../spool.ts';
import { timestampFromUs } from '../view-parts.ts';
import { readySandbox } from './ready-sandbox.ts';

const BYTES_PER_MIB = 1024 * 1024;

export const fileHandlers = (engine: Engine, provider: Provider) =>
  implement(FileService, {
    async uploadFile({ id, path, unpack }, call) {
      const { disk_mib: diskMib } = await readySandbox(engine, call, id);
      if (!call.body)
        throw refuseInvalid([
          { pointer: '', detail: 'the request needs a body: the bytes to write', rule: 'body.required' },
        ]);
      // a file that is larger than the disk fits nowhere; of a tree only the machine can say
      const bytesMax = unpack ? UPLOAD_BYTES_MAX : Math.min(UPLOAD_BYTES_MAX, diskMib * BYTES_PER_MIB);
      await using spool = await spoolBody(call.body, bytesMax);
      const { bytes, sha256 } = spool;
      const fingerprint = createHash('sha256').update(`${call.fingerprint}\n${sha256}`).digest('hex');
      const command = commandFrom(call, {
        stream: `sandbox:${id}`,
        type: 'RecordUpload',
        body: { path, bytes, sha256, unpack },
      });
      const { receiptId } = await executeFor(engine, call, { ...command, fingerprint });
      await askProvider('FILE_REFUSED', { path }, async () =>
        unpack ? provider.putTree(id, path, spool.stream()) : provider.putFile(id, path, spool.stream(), sha256),
      );
      return { sandboxId: id, path, bytes: BigInt(bytes), sha256, receiptId };
    },
    async downloadFile({ id, path, pack }, call) {
      await readySandbox(engine, call, id);
      const stream = await askProvider('FILE_REFUSED', { path }, () =>
        pack ? provider.getTree(id, path) : provider.getFile(id, path),
      );
      return { stream };
    },
    async listFiles({ id, path }, call) {
      await readySandbox(engine, call, id);
      const { entries, truncated } = await askProvider('FILE_REFUSED', { path }, () =>
        provider.listFiles(id, path || '.'),
      );
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
