/**
 * Arrays as PostgreSQL's binary parameters.
 * Promise: what arrives is what was given, byte for byte; no quoting, no regular expressions on the hot path.
 */

export type ElementType = 'text' | 'bytea' | 'bigint' | 'smallint';

export interface ElementValue {
  text: string | null;
  bytea: Uint8Array | string;
  bigint: bigint | number | null;
  smallint: number | null;
}

const OIDS: Record<ElementType, number> = { text: 25, bytea: 17, bigint: 20, smallint: 21 };
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;
const LOWER_BOUND = 1;

/** One-dimensional array in the binary format of PostgreSQL; a `bytea` given as a string is its UTF-8 bytes. */
export function encodeArray<T extends ElementType>(type: T, values: readonly ElementValue[T][]): Buffer {
  const bytes =
    type === 'text' || type === 'bytea'
      ? encodeVariable(values as readonly Variable[])
      : encodeFixed(type, values as readonly Fixed[]);
  bytes.writeInt32BE(values.length === 0 ? 0 : 1, 0);
  bytes.writeInt32BE(values.includes(null as never) ? 1 : 0, 4);
  bytes.writeInt32BE(OIDS[type], 8);
  if (values.length === 0) return bytes.subarray(0, HEADER_BYTES - 2 * LENGTH_BYTES);
  bytes.writeInt32BE(values.length, 12);
  bytes.writeInt32BE(LOWER_BOUND, 16);
  return bytes;
}

type Variable = string | Uint8Array | null;
type Fixed = bigint | number | null;

const bytesIn = (value: Variable): number =>
  value === null ? 0 : typeof value === 'string' ? Buffer.byteLength(value) : value.length;

function encodeVariable(values: readonly Variable[]): Buffer {
  const lengths = values.map(bytesIn);
  const total = lengths.reduce((sum, length) => sum + length + LENGTH_BYTES, HEADER_BYTES);
  const bytes = Buffer.allocUnsafe(total);
  let at = HEADER_BYTES;
  values.forEach((value, i) => {
    bytes.writeInt32BE(value === null ? NULL_LENGTH : lengths[i]!, at);
    at += LENGTH_BYTES;
    if (typeof value === 'string') bytes.write(value, at);
    else if (value !== null) bytes.set(value, at);
    at += lengths[i]!;
  });
  return bytes;
}

function encodeFixed(type: ElementType, values: readonly Fixed[]): Buffer {
  const width = type === 'bigint' ? 8 : 2;
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + values.length * (LENGTH_BYTES + width));
  let at = HEADER_BYTES;
  for (const value of values) {
    bytes.writeInt32BE(value === null ? NULL_LENGTH : width, at);
    at += LENGTH_BYTES;
    if (value === null) continue;
    if (type === 'bigint') bytes.writeBigInt64BE(BigInt(value), at);
    else bytes.writeInt16BE(Number(value), at);
    at += width;
  }
  return bytes.subarray(0, at);
}
