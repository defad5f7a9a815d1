/**
 * Files and trees between HTTP and the guest, as streams with back-pressure.
 * Promise: no path of a caller or a guest is ever opened on the host; memory stays flat whatever the size.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault, invalid, refused } from './fault.ts';
import type { Call, CallEvents, GuestLink, Verb } from './guest-link.ts';
import { partsOf } from './request.ts';

const LIST_BYTES_MAX = 8 * 1024 * 1024;
const COMPLAINT_BYTES_MAX = 4_096;
const TREE_IN = 'mkdir -p -- "$1" && exec tar --extract --no-same-owner --file=- --directory="$1"';
const TREE_OUT = 'exec tar --create --file=- --directory="$1" .';

const lost = (): Fault => new Fault('gone', 'sandbox_lost', 'the sandbox ended meanwhile');

/** Figures that an honest guest tells with some faults; anything else of it is left out. */
function figuresOf(said: Record<string, unknown>): Record<string, number> {
  const names = ['cap_bytes', 'available_bytes'].filter((name) => Number.isSafeInteger(said[name]));
  return Object.fromEntries(names.map((name) => [name, said[name] as number]));
}

/** Caps of the guest that these words speak of. */
const CAPS: Readonly<Record<string, number>> = { directories_max: 4_096, entries_max: 50_000, too_deep: 256 };

/** The guest's word for why, as a typed refusal. */
export function guestFault(code: string, said: Record<string, unknown> = {}): Fault {
  const known: Record<string, [string, string]> = {
    ENOENT: ['no_such_file', 'no such file or folder'],
    ENOSPC: ['quota_full', 'the disk quota is full'],
    EACCES: ['not_permitted', 'the sandbox may not do that'],
    EROFS: ['not_permitted', 'that part is read-only'],
    EPERM: ['not_permitted', 'the sandbox may not do that'],
    EISDIR: ['is_folder', 'it is a folder'],
    ENOTDIR: ['not_a_folder', 'it is not a folder'],
    EEXIST: ['file_exists', 'something stands there already'],
    ENOTEMPTY: ['folder_not_empty', 'the folder is not empty'],
    EXDEV: ['crosses_mounts', 'the two paths are on different file systems'],
    EBUSY: ['is_mount', 'a file system is mounted there'],
    ENAMETOOLONG: ['name_too_long', 'a name has at most 255 bytes, a path 4095'],
    ELOOP: ['link_loop', 'the links of the path lead nowhere'],
    EFBIG: ['too_large', 'a digest is told of files of at most 4 GiB'],
    into_itself: ['into_itself', 'a folder cannot be moved below itself'],
    directories_max: ['watch_too_large', 'the watches of a sandbox look into at most 4096 folders'],
    entries_max: ['watch_too_large', 'the watches of a sandbox keep at most 50000 names in mind'],
    too_deep: ['too_deep', 'more than 256 folders stand within each other there'],
  };
  const [word, detail] = known[code] ?? ['file_fault', 'the sandbox could not do that'];
  return code === 'ENOENT'
    ? new Fault('not_found', word, detail)
    : refused(word, detail, {
        cause: code,
        ...(Object.hasOwn(CAPS, code) ? { cap: CAPS[code] as number } : {}),
        ...figuresOf(said),
      });
}

type Outcome = { end: Record<string, unknown> } | { fault: Fault };

/** Opens a call and gives back its end as a promise that never rejects. */
export function openCall(
  link: GuestLink,
  verb: Verb,
  request: object,
  events: Pick<CallEvents, 'onBytes' | 'onMeta'>,
): { call: Call; outcome: Promise<Outcome> } {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const call = link.open(verb, request, {
    ...events,
    onEnd: (end) => resolve({ end }),
    onFault: (code, _, said) => resolve({ fault: guestFault(code, said) }),
    onLost: () => resolve({ fault: lost() }),
  });
  return { call, outcome: promise };
}

export function endOf(outcome: Outcome): Record<string, unknown> {
  if ('fault' in outcome) throw outcome.fault;
  return outcome.end;
}

/** All text that a call answers with. @errors rejects with the guest's Fault, or `file_fault` beyond the limit */
export async function textOf(link: GuestLink, verb: Verb, request: object, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  const { call, outcome } = openCall(link, verb, request, {
    onBytes: (_, bytes) => {
      total += bytes.length;
      if (total <= bytesMax) chunks.push(bytes);
      call.credit(bytes.length);
    },
  });
  endOf(await outcome);
  if (total > bytesMax) throw refused('file_fault', 'the sandbox said more than it may');
  return Buffer.concat(chunks).toString();
}

/** Returns false when the call ended first: its outcome says why. @errors rejects when the caller goes away. */
async function sendBody(request: IncomingMessage, call: Call, onBytes: (bytes: Buffer) => void): Promise<boolean> {
  try {
    for await (const bytes of partsOf(request)) {
      onBytes(bytes);
      if (!(await call.write(bytes))) return false;
    }
  } catch (fault) {
    call.cancel();
    throw fault;
  }
  return true;
}

/** How many bytes the caller says will come. @errors throws Fault `invalid` */
function announcedBytes(request: IncomingMessage): { bytes?: number } {
  const text = request.headers['x-bytes'] ?? request.headers['content-length'];
  if (text === undefined) return {};
  if (!/^[0-9]{1,15}$/.test(String(text))) throw invalid('x-bytes must be a whole number');
  return { bytes: Number(text) };
}

/** @errors rejects with Fault: `checksum_mismatch`, `quota_full`, `not_permitted`, ...; no half file is left then. */
export async function putFile(link: GuestLink, path: string, request: IncomingMessage) {
  const expected = request.headers['x-sha256'];
  if (expected !== undefined && !/^[0-9a-f]{64}$/.test(String(expected)))
    throw invalid('x-sha256 must be lower-case hex');
  const hash = createHash('sha256');
  let bytesSent = 0;
  const announced = announcedBytes(request);
  const { call, outcome } = openCall(link, 'put', { path, ...announced }, {});
  const isWhole = await sendBody(request, call, (bytes) => {
    hash.update(bytes);
    bytesSent += bytes.length;
  });
  const sha256 = hash.digest('hex');
  if (isWhole && expected !== undefined && expected !== sha256) {
    call.cancel();
    throw refused('checksum_mismatch', 'the bytes that came are not those that were announced', {
      expected: String(expected),
      sha256,
    });
  }
  if (isWhole) call.end();
  const ended = await outcome;
  if ('fault' in ended) throw withAsked(ended.fault, announced.bytes ?? bytesSent);
  return { path, bytes: bytesSent, sha256 };
}

/** Cap and available are the guest's figures, asked is the caller's. */
const withAsked = (fault: Fault, bytes: number): Fault =>
  fault.code === 'quota_full' ? refused(fault.code, fault.message, { ...fault.facts, asked_bytes: bytes }) : fault;

const tarRequest = (script: string, path: string, hasStdin: boolean) => ({
  argv: ['/bin/sh', '-c', script, 'tree', path],
  hasStdin,
});

function complaints(): { take: (bytes: Buffer) => void; text: () => string } {
  let kept = Buffer.alloc(0);
  return {
    take: (bytes) => {
      kept = Buffer.concat([kept, bytes]).subarray(0, COMPLAINT_BYTES_MAX);
    },
    text: () => kept.toString('utf8').trim(),
  };
}

function checkTar(end: Record<string, unknown>, complaint: string): void {
  if (end['end'] === 'exited' && end['code'] === 0) return;
  const code = /No space left/.test(complaint) ? 'quota_full' : 'tree_refused';
  throw refused(code, 'the sandbox could not move the tree', { cause: complaint });
}

/** A full disk is told with its figures. */
async function withSpace(link: GuestLink, path: string, fault: Fault, bytes: number | undefined): Promise<Fault> {
  if (fault.code !== 'quota_full') return fault;
  const space = await spaceAt(link, path).catch(() => ({ figures: {} }));
  const asked = bytes === undefined ? {} : { asked_bytes: bytes };
  return refused(fault.code, fault.message, { ...fault.facts, ...space.figures, ...asked });
}

const SPACE_BYTES_MAX = 1_024;

/** The room at a path, as the guest tells it. @errors rejects with the guest's Fault */
async function spaceAt(link: GuestLink, path: string): Promise<{ figures: Record<string, number>; isThere: boolean }> {
  const text = await textOf(link, 'stat', { path, digest: false, space: true }, SPACE_BYTES_MAX);
  try {
    const said = JSON.parse(text);
    return { figures: figuresOf(said), isThere: said['is_there'] === true };
  } catch {
    throw refused('file_fault', 'the sandbox did not say how much room there is');
  }
}

/** Into a tree that is there already, files may take the place of others: only what no empty disk would hold is refused then. */
async function checkRoom(link: GuestLink, path: string, bytes: number): Promise<void> {
  const { figures, isThere } = await spaceAt(link, path);
  const room = (isThere ? figures['cap_bytes'] : figures['available_bytes']) ?? Number.POSITIVE_INFINITY;
  if (bytes > room)
    throw refused('quota_full', 'the disk has no room for the tree', { ...figures, asked_bytes: bytes });
}

/** A tar stream, unpacked by the sandbox's own tar. `x-bytes` says what its files hold together. */
export async function putTree(link: GuestLink, path: string, request: IncomingMessage) {
  const announced = 'x-bytes' in request.headers ? announcedBytes(request) : {};
  if (announced.bytes !== undefined) await checkRoom(link, path, announced.bytes);
  const complaint = complaints();
  let bytesSent = 0;
  const opened = openCall(link, 'exec', tarRequest(TREE_IN, path, true), {
    onBytes: (_, bytes) => {
      complaint.take(bytes);
      opened.call.credit(bytes.length);
    },
  });
  const isWhole = await sendBody(request, opened.call, (bytes) => {
    bytesSent += bytes.length;
  });
  if (isWhole) opened.call.end();
  const end = endOf(await opened.outcome);
  try {
    checkTar(end, complaint.text());
  } catch (fault) {
    throw fault instanceof Fault ? await withSpace(link, path, fault, announced.bytes) : fault;
  }
  return { path, bytes: bytesSent };
}

/** Sends the guest's bytes on; gives credit when the socket has taken them. Ends the response, or breaks it off. */
async function streamOut(
  response: ServerResponse,
  open: (onBytes: NonNullable<CallEvents['onBytes']>) => { call: Call; outcome: Promise<Outcome> },
  check: (end: Record<string, unknown>) => void,
): Promise<void> {
  const opened = open((stream, bytes) => {
    if (stream === 2) return opened.call.credit(bytes.length);
    response.write(bytes, () => opened.call.credit(bytes.length));
  });
  response.once('close', () => opened.call.cancel());
  try {
    check(endOf(await opened.outcome));
    response.end();
  } catch (fault) {
    if (!response.headersSent) throw fault;
    response.destroy();
  }
}

interface Range {
  start?: number;
  end?: number;
}

function rangeOf(header: string | undefined): Range {
  if (header === undefined) return {};
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header);
  if (!match) throw invalid('only one range like bytes=0-99 is understood');
  const start = Number(match[1]);
  return match[2] ? { start, end: Number(match[2]) } : { start };
}

export function getFile(link: GuestLink, path: string, request: IncomingMessage, response: ServerResponse) {
  const range = rangeOf(request.headers.range);
  const onMeta = (meta: Record<string, unknown>): void => {
    if (response.headersSent) return;
    const bytes = Number.isSafeInteger(meta['bytes']) ? Number(meta['bytes']) : 0;
    const headers = { 'content-type': 'application/octet-stream', 'x-file-bytes': String(bytes) };
    response.writeHead(range.start === undefined ? 200 : 206, headers);
  };
  return streamOut(
    response,
    (onBytes) => openCall(link, 'get', { path, ...range }, { onMeta, onBytes }),
    () => {},
  );
}

export function getTree(link: GuestLink, path: string, response: ServerResponse) {
  const complaint = complaints();
  return streamOut(
    response,
    (onBytes) =>
      openCall(link, 'exec', tarRequest(TREE_OUT, path, false), {
        onBytes: (stream, bytes) => {
          if (stream === 2) complaint.take(bytes);
          else if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-tar' });
          onBytes(stream, bytes);
        },
      }),
    (end) => checkTar(end, complaint.text()),
  );
}

interface Entry {
  name: string;
  type: string;
  bytes: number;
  mode: number;
  modified_us: number;
}

export function readEntry(value: unknown): Entry {
  const { name, type, bytes, mode, modified_us } = value as Record<string, unknown>;
  const count = (number: unknown): number => (Number.isSafeInteger(number) ? (number as number) : 0);
  const word = ['file', 'directory', 'link'].includes(String(type)) ? String(type) : 'other';
  return { name: String(name), type: word, bytes: count(bytes), mode: count(mode), modified_us: count(modified_us) };
}

/** What the guest says is copied member by member; its text is bounded. */
export async function listFiles(link: GuestLink, path: string) {
  const text = await textOf(link, 'list', { path }, LIST_BYTES_MAX);
  try {
    const { entries, truncated } = JSON.parse(text);
    return { path, entries: (entries as unknown[]).map(readEntry), truncated: truncated === true };
  } catch {
    throw refused('file_fault', 'the sandbox gave no list');
  }
}
