/**
 * Checkpoints of the log as C2SP signed notes (tlog-checkpoint, signed-note with Ed25519).
 * Promise: a note opens only under the key and the origin it was made with, and says exactly one size and root.
 */
import { base64Bytes } from './base64.ts';
import { sha256 } from './hashes.ts';
import { assertGoodPublicKey, signingKeyFromSeed, verifyEd25519 } from './signatures.ts';

export const NOTE_CHARS_MAX = 65_536;
export const NOTE_SIGNATURES_MAX = 32;

const ED25519_TYPE = Uint8Array.of(1);
const KEY_HASH_BYTES = 4;
const ROOT_BYTES = 32;
const SIGNATURE_LINE = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/;
const DECIMAL = /^(0|[1-9][0-9]{0,15})$/;

/** What checks notes: everything public about a log's key. */
export interface LogVerifier {
  /** Name of the log, a schemaless URL without spaces and plus signs. */
  origin: string;
  publicKey: Buffer;
  /** First 4 bytes of SHA-256(origin, newline, 1, public key). */
  keyHash: Buffer;
}

export interface LogKey extends LogVerifier {
  sign(bytes: Uint8Array): Buffer;
}

export interface Checkpoint {
  size: number;
  /** 32 bytes. */
  root: Buffer;
}

/** @errors throws TypeError when the origin is not a note name or the seed has not 32 bytes */
export function logKeyFromSeed(origin: string, seed: Uint8Array): LogKey {
  const { publicKey, sign } = signingKeyFromSeed(seed);
  return { ...verifierOf(origin, publicKey), sign };
}

/** The C2SP verifier key: `origin+hash+base64`. */
export function logVerifierOf(key: LogVerifier): string {
  const encoded = Buffer.concat([ED25519_TYPE, key.publicKey]).toString('base64');
  return `${key.origin}+${key.keyHash.toString('hex')}+${encoded}`;
}

/** @errors throws TypeError when the text is no Ed25519 verifier key or its hash does not fit */
export function parseLogVerifier(text: string): LogVerifier {
  const [origin = '', hash = '', ...rest] = text.split('+');
  const encoded = base64Bytes(rest.join('+'));
  if (!encoded || encoded[0] !== ED25519_TYPE[0])
    throw new TypeError(`not an Ed25519 verifier key: ${text.slice(0, 200)}`);
  assertGoodPublicKey(encoded.subarray(1));
  const verifier = verifierOf(origin, encoded.subarray(1));
  if (verifier.keyHash.toString('hex') !== hash) throw new TypeError(`the key hash of ${origin} does not fit its key`);
  return verifier;
}

/** The signed note of a root: one signature, ends with a newline. */
export function signCheckpoint(key: LogKey, { size, root }: Checkpoint): string {
  const body = `${key.origin}\n${size}\n${root.toString('base64')}\n`;
  const signature = key.sign(Buffer.from(body));
  return `${body}\n— ${key.origin} ${Buffer.concat([key.keyHash, signature]).toString('base64')}\n`;
}

/** The checkpoint in a note, or undefined when its form, its origin or the log's signature is wrong. Others' signatures may stand beside. */
export function openCheckpoint(verifier: LogVerifier, note: string): Checkpoint | undefined {
  if (note.length > NOTE_CHARS_MAX || !note.endsWith('\n')) return undefined;
  const gap = note.lastIndexOf('\n\n');
  if (gap < 0) return undefined;
  const body = note.slice(0, gap + 1);
  const lines = note.slice(gap + 2, -1).split('\n');
  if (lines.length > NOTE_SIGNATURES_MAX || !isSigned(verifier, body, lines)) return undefined;
  return readBody(verifier.origin, body);
}

function isSigned(verifier: LogVerifier, body: string, lines: string[]): boolean {
  let signed = false;
  for (const line of lines) {
    const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
    const bytes = base64Bytes(encoded ?? '');
    if (!name || !bytes || bytes.length <= KEY_HASH_BYTES) return false; // a malformed line spoils the note
    if (name !== verifier.origin || !bytes.subarray(0, KEY_HASH_BYTES).equals(verifier.keyHash)) continue;
    if (!verifyEd25519(verifier.publicKey, Buffer.from(body), bytes.subarray(KEY_HASH_BYTES))) return false;
    signed = true;
  }
  return signed;
}

function readBody(origin: string, body: string): Checkpoint | undefined {
  const [name, size = '', encoded = '', ...extensions] = body.slice(0, -1).split('\n');
  const root = base64Bytes(encoded);
  if (name !== origin || !DECIMAL.test(size) || !Number.isSafeInteger(Number(size))) return undefined;
  if (root?.length !== ROOT_BYTES || extensions.some((line) => line === '')) return undefined;
  return { size: Number(size), root };
}

function verifierOf(origin: string, publicKey: Buffer): LogVerifier {
  if (!/^[^\s+]+$/u.test(origin)) throw new TypeError(`not a note name: ${JSON.stringify(origin)}`);
  return { origin, publicKey, keyHash: sha256(origin, '\n', ED25519_TYPE, publicKey).subarray(0, KEY_HASH_BYTES) };
}
