/**
 * Keeps secrets out of a stream of bytes, however it is cut into pieces.
 * Promise: cutting changes nothing: the same bytes give the same output, and no spelling of a secret that is on the list is in it.
 */
import { withoutLineEnd } from './secret.ts';

export const MASK = Buffer.from('[redacted]');
const LINE_BYTES_MIN = 16;
/** Where base64 programs break their lines. */
const WRAPS = [64, 76];
const FULL_CHAR_BITS = 6;

/** Patterns with what finding their beginnings at the end of a piece needs. */
export interface Redaction {
  readonly patterns: readonly Pattern[];
}

interface Pattern {
  bytes: Buffer;
  /** Knuth-Morris-Pratt: the longest border of each prefix. */
  borders: Int32Array;
}

export const NO_REDACTION: Redaction = { patterns: [] };

/** For values of at least SECRET_BYTES_MIN bytes. */
export function redactionOf(values: Iterable<Uint8Array>): Redaction {
  const texts = new Set([...values].flatMap((value) => spellingsOf(value)).map((bytes) => bytes.toString('latin1')));
  const patterns = [...texts].map((text) => patternOf(Buffer.from(text, 'latin1')));
  return { patterns: patterns.sort((a, b) => b.bytes.length - a.bytes.length) };
}

function patternOf(bytes: Buffer): Pattern {
  const borders = new Int32Array(bytes.length);
  for (let at = 1, length = 0; at < bytes.length; at += 1) {
    while (length > 0 && bytes[at] !== bytes[length]) length = borders[length - 1] as number;
    if (bytes[at] === bytes[length]) length += 1;
    borders[at] = length;
  }
  return { bytes, borders };
}

/** Itself, its long lines, hex, base64 at every alignment, as a JSON text and as a part of a URL. */
export function spellingsOf(secret: Uint8Array): Buffer[] {
  const core = Buffer.from(withoutLineEnd(secret));
  const latin = core.toString('latin1');
  const lines = latin.split(/\r?\n/).filter((line) => line.length >= LINE_BYTES_MIN);
  const hex = core.toString('hex');
  const texts = [latin, latin.replace(/\r?\n/g, '\r\n'), ...lines, hex, hex.toUpperCase(), ...base64Spellings(core)];
  return [...texts.map((text) => Buffer.from(text, 'latin1')), ...textSpellings(core)];
}

function textSpellings(core: Buffer): Buffer[] {
  const text = core.toString('utf8');
  if (!Buffer.from(text).equals(core)) return [];
  return [JSON.stringify(text).slice(1, -1), encodeURIComponent(text)].map((spelling) => Buffer.from(spelling));
}

/** Without the characters that its neighbours have a share in, so that it is found inside a longer text, too. */
function base64Spellings(core: Buffer): string[] {
  const aligned = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), core]).toString('base64');
    const end = Math.floor(((before + core.length) * 8) / FULL_CHAR_BITS);
    return text.slice(Math.ceil((before * 8) / FULL_CHAR_BITS), end);
  });
  const wrapped = WRAPS.flatMap((columns) => {
    const lines = aligned[0]?.match(new RegExp(`.{1,${columns}}`, 'g')) ?? [];
    return lines.length > 1 ? [lines.join('\n'), lines.join('\r\n')] : [];
  });
  return [...aligned, ...wrapped].flatMap((text) => [text, text.replaceAll('+', '-').replaceAll('/', '_')]);
}

export interface Redactor {
  /** What is safe to show now; the rest is held back until it is known not to begin a secret. */
  push(bytes: Uint8Array): Buffer;
  /** Whatever is still held back. */
  end(): Buffer;
}

/** `redaction` is asked at every piece: a secret released meanwhile counts from then on. */
export function redactor(redaction: () => Redaction): Redactor {
  let held: Buffer = Buffer.alloc(0);
  const take = (bytes: Uint8Array, isLast: boolean): Buffer => {
    const { patterns } = redaction();
    if (patterns.length === 0 && held.length === 0) return Buffer.from(bytes);
    const { shown, rest } = scan(patterns, Buffer.concat([held, bytes]), isLast);
    held = rest;
    return shown;
  };
  return { push: (bytes) => take(bytes, false), end: () => take(Buffer.alloc(0), true) };
}

/** Leftmost first, at one place the longest: what starts before `safe` can be decided whatever comes next. */
function scan(patterns: readonly Pattern[], bytes: Buffer, isLast: boolean): { shown: Buffer; rest: Buffer } {
  const shown: Buffer[] = [];
  const next = patterns.map((pattern) => bytes.indexOf(pattern.bytes));
  let at = 0;
  let safe = isLast ? bytes.length : safeEnd(patterns, bytes, 0);
  for (;;) {
    const hit = firstHit(patterns, bytes, next, at);
    if (hit === undefined || hit.start >= safe) break;
    shown.push(bytes.subarray(at, hit.start), MASK);
    at = hit.end;
    if (at > safe) safe = isLast ? bytes.length : safeEnd(patterns, bytes, at);
  }
  shown.push(bytes.subarray(at, safe));
  return { shown: Buffer.concat(shown), rest: Buffer.from(bytes.subarray(safe)) };
}

/** `next` is where each pattern is next; longer patterns come first. */
function firstHit(patterns: readonly Pattern[], bytes: Buffer, next: number[], at: number) {
  let hit: { start: number; end: number } | undefined;
  for (const [index, pattern] of patterns.entries()) {
    let start = next[index] as number;
    if (start >= 0 && start < at) {
      start = bytes.indexOf(pattern.bytes, at);
      next[index] = start;
    }
    if (start >= 0 && (hit === undefined || start < hit.start)) hit = { start, end: start + pattern.bytes.length };
  }
  return hit;
}

/** The first place from `from` on at which a pattern begins that the piece does not show whole. */
function safeEnd(patterns: readonly Pattern[], bytes: Buffer, from: number): number {
  const longest = patterns.map((pattern) => begunAtEnd(pattern, bytes, from));
  return bytes.length - longest.reduce((most, length) => (length > most ? length : most), 0);
}

function begunAtEnd({ bytes: pattern, borders }: Pattern, bytes: Buffer, from: number): number {
  let length = 0;
  for (let at = Math.max(from, bytes.length - pattern.length + 1); at < bytes.length; at += 1) {
    while (length > 0 && bytes[at] !== pattern[length]) length = borders[length - 1] as number;
    if (bytes[at] === pattern[length]) length += 1;
  }
  return length;
}
