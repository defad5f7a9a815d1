/**
 * Files of a sandbox as tools: small ones travel inside the call.
 * Promise: nothing larger than FILE_BYTES_MAX passes either way, and nothing on this computer is read or written.
 */
import { createHash } from 'node:crypto';
import { type JsonObject, plain, refuseHere, UploadedFileSchema } from '@tallystick/sdk';
import { invalid } from './problem.ts';
import { checkInput, count, objectOf, part, text } from './schema.ts';
import type { Tool } from './tool.ts';

/** Larger files do not belong into a conversation. */
export const FILE_BYTES_MAX = 1024 * 1024;

const LARGE_FILE_SUGGESTION = 'Take a part of it with offset and length, or use `tally cp`, which has no limit.';
const ENCODINGS = ['text', 'base64'];

const ID = text('The sandbox.', { pattern: '^sbx_[0-9a-f]{32}$' });
const PATH = text('Absolute, or relative to the home directory.', { minLength: 1, maxLength: 4096 });

const UPLOAD_INPUT = objectOf(
  {
    id: ID,
    path: PATH,
    content: text(`The whole content; at most ${FILE_BYTES_MAX} bytes when decoded.`),
    encoding: text('What content is; absent: text, which is written as UTF-8.', { enum: ENCODINGS }),
  },
  ['id', 'path', 'content'],
);

const upload: Tool = {
  name: 'sandbox_upload',
  description: `Write a file in a sandbox, whole or not at all, from text or base64 (at most ${FILE_BYTES_MAX} bytes).`,
  annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
  isKeyed: true,
  inputSchema: UPLOAD_INPUT,
  outputSchema: objectOf({
    sandbox_id: text('The sandbox.'),
    path: text('Where.'),
    bytes: count('Size.'),
    sha256: text('Hex SHA-256 of the content.'),
    receipt_id: text('Receipt of the upload.'),
  }),
  async run(input, { connect, key }) {
    await checkInput(UPLOAD_INPUT, input);
    const { id, path, content, encoding } = input as Record<string, string>;
    const bytes = encoding === 'base64' ? decode(content!) : Buffer.from(content!);
    if (bytes.length > FILE_BYTES_MAX) throw tooLarge({ asked_bytes: bytes.length });
    const tally = await connect();
    return plain(UploadedFileSchema, await tally.sandboxes.attach(id!).upload(path!, bytes, { key }));
  },
};

/** @errors ApiError `invalid_request`; Node alone would skip what is no base64 */
function decode(content: string): Buffer {
  const bytes = Buffer.from(content, 'base64');
  if (bytes.toString('base64') === content) return bytes;
  throw invalid([{ pointer: '/content', detail: 'must be base64 with padding and without spaces', rule: 'base64' }]);
}

const DOWNLOAD_INPUT = objectOf(
  {
    id: ID,
    path: PATH,
    encoding: text('How the content shall be told; absent: as text when it is UTF-8, else as base64.', {
      enum: ENCODINGS,
    }),
    offset: count('Begin at this byte; absent: the first. One behind the end of the file gives nothing.'),
    length: part(`Read at most this many bytes; absent: up to the end. At most ${FILE_BYTES_MAX}.`, FILE_BYTES_MAX),
  },
  ['id', 'path'],
);

const download: Tool = {
  name: 'sandbox_download',
  description: `Read a file of a sandbox, or a part of it, as text or base64 (at most ${FILE_BYTES_MAX} bytes).`,
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true },
  isKeyed: false,
  inputSchema: DOWNLOAD_INPUT,
  outputSchema: objectOf({
    sandbox_id: text('The sandbox.'),
    path: text('Which file.'),
    bytes: count('Size of what was read.'),
    sha256: text('Hex SHA-256 of what was read.'),
    encoding: text('How content is told.', { enum: ENCODINGS }),
    content: text('What was read.'),
  }),
  async run(input, { connect, signal }) {
    await checkInput(DOWNLOAD_INPUT, input);
    const { id, path, encoding } = input as Record<string, string>;
    const { offset, length } = input as Record<string, number | undefined>;
    const tally = await connect();
    const options = { ...(offset === undefined ? {} : { offset }), ...(length === undefined ? {} : { length }) };
    const bytes = await collect(tally.sandboxes.attach(id!).files.read(path!, { ...options, signal }), signal);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { sandbox_id: id!, path: path!, bytes: bytes.length, sha256, ...contentOf(bytes, path!, encoding) };
  },
};

const tooLarge = (facts: JsonObject) =>
  refuseHere('BODY_TOO_LARGE', {
    detail: `A tool carries at most ${FILE_BYTES_MAX} bytes.`,
    suggestion: LARGE_FILE_SUGGESTION,
    facts: { cap_bytes: FILE_BYTES_MAX, ...facts },
  });

/** @errors ApiError `body_too_large` as soon as the limit is passed; what the source throws */
async function collect(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    signal.throwIfAborted();
    bytes += chunk.length;
    if (bytes > FILE_BYTES_MAX) throw tooLarge({});
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function contentOf(bytes: Buffer, path: string, wanted?: string): { encoding: string; content: string } {
  const words = wanted === 'base64' ? undefined : utf8Of(bytes);
  if (words !== undefined) return { encoding: 'text', content: words };
  if (wanted === 'text') throw refuseHere('FILE_REFUSED', { facts: { path, cause: 'not_utf8' } });
  return { encoding: 'base64', content: bytes.toString('base64') };
}

function utf8Of(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

export const FILE_TOOLS: readonly Tool[] = [upload, download];
