/**
 * Addresses that no tenant is let out to, and why.
 * Promise: pure; an address that only wraps a refused one is refused for the same reason.
 */
import { type Address, type AddressRange, isInRange, parseRange } from './address.ts';

const rangeOf = (text: string): AddressRange => {
  const range = parseRange(text);
  if (!range) throw new TypeError(`no range: ${text}`);
  return range;
};

/** Cloud machines' credentials and settings. Never opened, not even by the operator. */
export const METADATA = 'metadata';

/** The first row that holds the address says why; metadata addresses lie inside other rows. */
const REFUSED: readonly (readonly [reason: string, ...ranges: string[]])[] = [
  [METADATA, '169.254.169.254', '169.254.170.2', '169.254.170.23', '100.100.100.200', '192.0.0.192', '168.63.129.16'],
  [METADATA, 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254'],
  ['unspecified', '0.0.0.0/8', '::'],
  ['loopback', '127.0.0.0/8', '::1'],
  ['private', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fec0::/10'],
  ['carrier_nat', '100.64.0.0/10'],
  ['link_local', '169.254.0.0/16', 'fe80::/10'],
  ['multicast', '224.0.0.0/4', 'ff00::/8'],
  ['benchmark', '198.18.0.0/15', '2001:2::/48'],
  ['documentation', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32', '3fff::/20'],
  ['transition', '192.88.99.0/24', '2001::/32', '2002::/16', '64:ff9b:1::/48'],
  ['reserved', '192.0.0.0/24', '240.0.0.0/4', '2001::/23'],
];

const ROWS = REFUSED.map(([reason, ...ranges]) => ({ reason, ranges: ranges.map(rangeOf) }));
/** All that is handed out for use on the internet. */
const GLOBAL_V6 = rangeOf('2000::/3');

/** IPv6 addresses that stand for an IPv4 one: it begins `shift` bits from the right. */
const WRAPPINGS = [
  { range: rangeOf('::ffff:0:0/96'), shift: 0n },
  { range: rangeOf('::ffff:0:0:0/96'), shift: 0n },
  { range: rangeOf('::/96'), shift: 0n },
  { range: rangeOf('64:ff9b::/96'), shift: 0n },
  { range: rangeOf('2002::/16'), shift: 80n },
];
/** Wrappings that lead where the wrapped address lies, and so may be used when that may. */
const USABLE = [rangeOf('::ffff:0:0/96'), rangeOf('64:ff9b::/96')];
const MAPPED = rangeOf('::ffff:0:0/96');
const V4_MASK = 0xffff_ffffn;
/** Smaller ones are the unspecified and the loopback address. */
const COMPATIBLE_MIN = 2n;

/** The IPv4 address that the system would use for an IPv4-mapped one; any other address as it is. */
export const unmapped = (address: Address): Address =>
  isInRange(MAPPED, address) ? { family: 4, value: address.value & V4_MASK } : address;

function wrappedIn(address: Address): Address | undefined {
  if (address.family === 4 || address.value < COMPATIBLE_MIN) return undefined;
  const wrapping = WRAPPINGS.find(({ range }) => isInRange(range, address));
  return wrapping && { family: 4, value: (address.value >> wrapping.shift) & V4_MASK };
}

/** Why nobody is let out to this address: `metadata`, `loopback`, `private`, ...; undefined for one on the internet. */
export function refusedReason(address: Address): string | undefined {
  const wrapped = wrappedIn(address);
  const ofWrapped = wrapped && refusedReason(wrapped);
  if (ofWrapped) return ofWrapped;
  if (USABLE.some((range) => isInRange(range, address))) return undefined;
  const row = ROWS.find(({ ranges }) => ranges.some((range) => isInRange(range, address)));
  if (row) return row.reason;
  return address.family === 6 && !isInRange(GLOBAL_V6, address) ? 'reserved' : undefined;
}
