/**
 * Addresses to which nothing may be withdrawn: the platform's own, and those where money is lost.
 * Promise: what is sent out arrives with somebody else.
 */
import type { Reads, Rejection, Seen } from '@tallystick/kernel';
import { type AddressState, addressStream } from './address.ts';
import { type RailState, railStream } from './rail.ts';
import { type SignerState, signerStream } from './signer.ts';

const ZERO = `0x${'0'.repeat(40)}`;

/** What `ownAddressRefusal` looks at. */
export const ownAddressReads = (rail: string, address: string): Required<Pick<Reads, 'streams'>> => ({
  streams: [railStream(rail), addressStream(rail, address), signerStream(rail, address)],
});

/** Undefined for an address of somebody else. */
export function ownAddressRefusal(seen: Seen, rail: string, address: string): Rejection | undefined {
  const cause = causeOf(seen, rail, address);
  return cause === undefined ? undefined : { rejection: 'PAYOUT_ADDRESS_REFUSED', facts: { address, cause } };
}

function causeOf(seen: Seen, rail: string, address: string): string | undefined {
  const { treasury, token, factory } = seen.state(railStream(rail)) as RailState;
  if (address === ZERO) return 'nobody has the zero address';
  if (address === token) return 'it is the token itself';
  if (address === treasury) return 'it is the treasury of this platform';
  if (address === factory) return 'it is the contract that makes deposit addresses';
  if ((seen.state(addressStream(rail, address)) as AddressState).status !== '')
    return 'it is a deposit address of this platform: what arrives there would be a deposit';
  if ((seen.state(signerStream(rail, address)) as SignerState).status !== '') return 'it is a key of this platform';
  return undefined;
}
