/**
 * The values that callers usually send, read without the way around through protobuf's own JSON reader.
 * Promise: reads nothing that protobuf would refuse or read otherwise; what is less usual is left to it.
 */
import { type DescField, ScalarType } from '@bufbuild/protobuf';
import type { Json } from '@tallystick/kernel';
import { elementKind, enumWord } from './rest-json.ts';

/** The value as a message holds it, or undefined: ask protobuf. */
export type ReadPlain = (value: Json) => unknown;

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);
const UINT32_MAX = 2 ** 32 - 1;

const UNUSUAL: ReadPlain = () => undefined;

const readers = new Map<DescField, ReadPlain>();

/** For a field, or for each of its elements. There are as many readers as fields in the contracts. */
export function plainReaderOf(field: DescField): ReadPlain {
  const known = readers.get(field) ?? readerOf(field);
  readers.set(field, known);
  return known;
}

function readerOf(field: DescField): ReadPlain {
  const kind = elementKind(field);
  if (kind === 'message') return UNUSUAL;
  if (kind === 'enum') {
    const words = new Map<Json, number>(field.enum!.values.map((value) => [enumWord(value), value.number]));
    return (value) => words.get(value);
  }
  return scalarReader(field.scalar!, 'longAsString' in field && field.longAsString);
}

function scalarReader(type: ScalarType, isLongText: boolean): ReadPlain {
  switch (type) {
    case ScalarType.STRING:
      return (value) => (typeof value === 'string' && value.isWellFormed() ? value : undefined);
    case ScalarType.BOOL:
      return (value) => (typeof value === 'boolean' ? value : undefined);
    case ScalarType.INT32:
      return integerReader(INT32_MIN, INT32_MAX);
    case ScalarType.UINT32:
      return integerReader(0, UINT32_MAX);
    case ScalarType.INT64:
      return isLongText ? UNUSUAL : longReader(Number.MIN_SAFE_INTEGER);
    case ScalarType.UINT64:
      return isLongText ? UNUSUAL : longReader(0);
    default:
      return UNUSUAL;
  }
}

const isWithin = (value: Json, min: number, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;

const integerReader =
  (min: number, max: number): ReadPlain =>
  (value) =>
    isWithin(value, min, max) ? value : undefined;

const longReader =
  (min: number): ReadPlain =>
  (value) =>
    isWithin(value, min, Number.MAX_SAFE_INTEGER) ? BigInt(value) : undefined;
