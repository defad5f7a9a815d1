/**
 * IP addresses and ranges as numbers.
 * Promise: pure; one address has one reading, and a text that two programs could read in two ways is no address.
 */

export interface Address {
  family: 4 | 6;
  value: bigint;
}

/** All addresses that begin with the same bits. */
export interface AddressRange {
  family: 4 | 6;
  base: bigint;
  prefixBits: number;
}

export const ADDRESS_BITS = { 4: 32, 6: 128 } as const;
const BYTE = /^(?:0|[1-9][0-9]{0,2})$/;
const GROUP = /^[0-9a-fA-F]{1,4}$/;
const GROUPS = 8;
const GROUP_BITS = 16n;
const BYTE_BITS = 8n;
const PREFIX = /^(?:0|[1-9][0-9]{0,2})$/;

/** Four decimal numbers without leading zeros. */
function parseV4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => BYTE.test(part) && Number(part) <= 255)) return undefined;
  return parts.reduce((value, part) => (value << BYTE_BITS) | BigInt(part), 0n);
}

/** The groups of one side of `::`; the last may be an IPv4 address, which counts as two. */
function groupsOf(text: string, mayEndInV4: boolean): bigint[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups = parts.map((part, index): bigint[] | undefined => {
    if (GROUP.test(part)) return [BigInt(`0x${part}`)];
    const v4 = mayEndInV4 && index === parts.length - 1 ? parseV4(part) : undefined;
    return v4 === undefined ? undefined : [v4 >> GROUP_BITS, v4 & 0xffffn];
  });
  return groups.includes(undefined) ? undefined : (groups as bigint[][]).flat();
}

function parseV6(text: string): bigint | undefined {
  const sides = text.split('::');
  if (sides.length > 2) return undefined;
  const [left, right] = sides.map((side, index) => groupsOf(side, index === sides.length - 1));
  if (!left || (sides.length === 2 && !right)) return undefined;
  const missing = GROUPS - left.length - (right?.length ?? 0);
  if (sides.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...left, ...Array<bigint>(missing).fill(0n), ...(right ?? [])];
  return groups.reduce((value, group) => (value << GROUP_BITS) | group, 0n);
}

/** Undefined for whatever is no address, also for one with a zone. */
export function parseAddress(text: string): Address | undefined {
  const v4 = parseV4(text);
  if (v4 !== undefined) return { family: 4, value: v4 };
  const v6 = text.includes(':') ? parseV6(text) : undefined;
  return v6 === undefined ? undefined : { family: 6, value: v6 };
}

/** The longest run of zero groups, as RFC 5952 shortens it; none when it is a single one. */
function longestZeros(groups: string[]): { from: number; length: number } {
  let best = { from: -1, length: 1 };
  for (let from = 0; from < groups.length; from += 1) {
    let length = 0;
    while (groups[from + length] === '0') length += 1;
    if (length > best.length) best = { from, length };
  }
  return best;
}

/** The one spelling of an address. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.');
  const groups = Array.from({ length: GROUPS }, (_, index) =>
    ((value >> (GROUP_BITS * BigInt(GROUPS - 1 - index))) & 0xffffn).toString(16),
  );
  const { from, length } = longestZeros(groups);
  if (from < 0) return groups.join(':');
  return `${groups.slice(0, from).join(':')}::${groups.slice(from + length).join(':')}`;
}

const suffixBits = (range: AddressRange): bigint => BigInt(ADDRESS_BITS[range.family] - range.prefixBits);

/** An address, or an address, a slash and how many of its first bits count. Undefined also when a later bit is set. */
export function parseRange(text: string): AddressRange | undefined {
  const [head = '', prefix, ...rest] = text.split('/');
  const address = parseAddress(head);
  if (!address || rest.length > 0 || (prefix !== undefined && !PREFIX.test(prefix))) return undefined;
  const prefixBits = prefix === undefined ? ADDRESS_BITS[address.family] : Number(prefix);
  if (prefixBits > ADDRESS_BITS[address.family]) return undefined;
  const range = { family: address.family, base: address.value, prefixBits };
  return (address.value >> suffixBits(range)) << suffixBits(range) === address.value ? range : undefined;
}

export function formatRange({ family, base, prefixBits }: AddressRange): string {
  const address = formatAddress({ family, value: base });
  return prefixBits === ADDRESS_BITS[family] ? address : `${address}/${prefixBits}`;
}

export const isInRange = (range: AddressRange, { family, value }: Address): boolean =>
  family === range.family && value >> suffixBits(range) === range.base >> suffixBits(range);
