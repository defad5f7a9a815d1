/**
 * Ids: a prefix that says what is named, and a UUIDv7 body that sorts by time.
 * Promise: pure; the same moment and the same random bytes give the same id.
 */

/** What an id can name. */
export const ID_PREFIXES = [
  'job',
  'sbx',
  'rcp',
  'key',
  'exec',
  'dep',
  'usr',
  'img',
  'sec',
  'hld',
  'wdr',
  'qte',
  'prv',
  'req',
  'ses',
  'tkt',
  'ord',
  'evt',
  'lse',
  'snp',
] as const;

export type Prefix = (typeof ID_PREFIXES)[number];
export type Id<P extends Prefix = Prefix> = `${P}_${string}`;

export const ID_RANDOM_BYTES = 10;
const TIME_MS_MAX = 2 ** 48 - 1;
const BODY = /^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/;

/**
 * `job_0193…`: prefix, underscore, 32 lower-case hex characters of a UUIDv7 without dashes.
 * @errors throws RangeError for a time outside 48 bits of milliseconds or other than 10 random bytes
 * @source RFC 9562, 5.7
 */
export function newId<P extends Prefix>(prefix: P, atMs: number, randomBytes10: Uint8Array): Id<P> {
  if (!Number.isSafeInteger(atMs) || atMs < 0 || atMs > TIME_MS_MAX) throw new RangeError(`no UUIDv7 time: ${atMs}`);
  if (randomBytes10.length !== ID_RANDOM_BYTES)
    throw new RangeError(`an id needs ${ID_RANDOM_BYTES} random bytes, there are ${randomBytes10.length}`);
  const random = Buffer.from(randomBytes10);
  random[0] = (random[0]! & 0x0f) | 0x70;
  random[2] = (random[2]! & 0x3f) | 0x80;
  return `${prefix}_${atMs.toString(16).padStart(12, '0')}${random.toString('hex')}`;
}

/** Whether the text is an id with this prefix. */
export const isId = <P extends Prefix>(prefix: P, text: string): text is Id<P> =>
  text.startsWith(`${prefix}_`) && BODY.test(text.slice(prefix.length + 1));
