/**
 * The caller's own wallet on the platform's chain: theirs, not the platform's.
 * Promise: nothing here needs or sees its key.
 */
import type { Wallet } from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import type { Link } from './services.ts';

export interface OwnWallet {
  /** What it holds, read from the chain. @errors ApiError `no_chain`, `chain_unreachable` */
  get(options?: Asked): Promise<Wallet>;
  /** Development dollars to pay with. @errors ApiError `development_only` elsewhere than on a development platform on loopback */
  fund(amountMicros: bigint, options?: Keyed): Promise<Wallet>;
}

/** @internal */
export const ownWalletOf = ({ services: { wallet } }: Link): OwnWallet => ({
  get: (options) => wallet.getWallet({}, askedOf(options)),
  fund: (amountMicros, options) => wallet.fundWallet({ amountMicros }, keyOf(options)),
});
