/**
 * What stands between standard input and the protocol library: lines that are no message.
 * Promise: whoever sends one is told so in the protocol's own errors, and everything after it is served as if it had not come.
 */
import { Transform } from 'node:stream';
import { type JsonObject, refuseHere } from '@tallystick/sdk';

const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const METHOD_NOT_FOUND = -32_601;
const INVALID_PARAMS = -32_602;
/** Beyond this a line goes on unread: the library ends the connection by its own limit. */
const LINE_BYTES_MAX = 10 * 1024 * 1024;
const LINE_END = 10;

type Id = string | number | null;

/** Lets messages through, line by line, and answers the rest with `tell`. */
export function screen(tell: (line: string) => void): Transform {
  let parts: Buffer[] = [];
  let bytes = 0;
  const take = (part: Buffer): Buffer => {
    const line = Buffer.concat([...parts, part]);
    parts = [];
    bytes = 0;
    return line;
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      let from = 0;
      for (let end = chunk.indexOf(LINE_END); end >= 0; end = chunk.indexOf(LINE_END, from)) {
        const line = take(chunk.subarray(from, end + 1));
        from = end + 1;
        const error = errorIn(line);
        if (error) tell(`${JSON.stringify(error)}\n`);
        else this.push(line);
      }
      const rest = chunk.subarray(from);
      bytes += rest.length;
      if (bytes > LINE_BYTES_MAX) this.push(take(rest));
      else if (rest.length > 0) parts.push(rest);
      done();
    },
    flush(done) {
      const line = take(Buffer.alloc(0));
      const error = errorIn(line);
      if (error) tell(`${JSON.stringify(error)}\n`);
      done();
    },
  });
}

/** The answer to a line that is no message; undefined for a message, or for nothing. */
function errorIn(line: Buffer): JsonObject | undefined {
  const text = line.toString().trim();
  if (text === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return errorOf(null, PARSE_ERROR, 'Parse error', 'a line of standard input is not JSON');
  }
  const complaint = complaintAbout(value);
  return complaint === undefined ? undefined : errorOf(idOf(value), INVALID_REQUEST, 'Invalid Request', complaint);
}

const isId = (id: unknown): boolean => typeof id === 'string' || Number.isInteger(id);

function complaintAbout(value: unknown): string | undefined {
  if (Array.isArray(value)) return 'batches are not part of the protocol: send one message per line';
  if (typeof value !== 'object' || value === null) return 'a message is a JSON object';
  const { jsonrpc, id, method, result, error } = value as Record<string, unknown>;
  if (jsonrpc !== '2.0') return 'a message says "jsonrpc": "2.0"';
  if (id !== undefined && !isId(id)) return 'the id is a string or an integer';
  const isAnswer = isId(id) && (result !== undefined || error !== undefined);
  return typeof method === 'string' || isAnswer ? undefined : 'a message names a method, or answers one';
}

function idOf(value: unknown): Id {
  const id = typeof value === 'object' && value !== null ? (value as { id?: unknown }).id : undefined;
  return isId(id) ? (id as Id) : null;
}

const errorOf = (id: Id, code: number, message: string, detail: string): JsonObject => ({
  jsonrpc: '2.0',
  id,
  error: {
    code,
    message: `${message}: ${detail}`,
    data: refuseHere('INVALID_REQUEST', { detail, suggestion: 'Send one JSON-RPC 2.0 message per line.' }).problem,
  },
});

const SUGGESTIONS: Readonly<Record<number, string>> = {
  [METHOD_NOT_FOUND]: 'This server has tools/list and tools/call.',
  [INVALID_PARAMS]: 'See tools/list for the names of tools and what they take.',
};

/** An answer of the library as it goes out: its errors get the problem JSON that refusals of tools have. */
export function withProblem<T>(message: T): T {
  const { error } = message as { error?: { code: number; message: string; data?: unknown } };
  const suggestion = error && error.data === undefined ? SUGGESTIONS[error.code] : undefined;
  if (!error || suggestion === undefined) return message;
  const { problem } = refuseHere('NOT_FOUND', { detail: error.message, suggestion });
  return { ...message, error: { ...error, data: problem } };
}
