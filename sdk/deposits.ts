/**
 * Money from outside: where to send it, what has arrived, what the platform holds.
 * Promise: amounts are bigint micros of the token, exact.
 */
import type { ChainDeposit, Deposit, DepositAddress, Reserves } from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import { pagesOf } from './pages.ts';
import type { Link } from './services.ts';

export interface Deposits {
  /** Where to send dollars, the same at every question. @errors ApiError `no_chain`, `chain_unreachable` */
  address(options?: Keyed): Promise<DepositAddress>;
  /**
   * Newest first, with those that wait for confirmations, and those that the caller's own wallet sent before it had an account:
   * `claim` takes what of them is parked. @errors ApiError `no_chain`
   */
  list(options?: Asked): AsyncIterable<ChainDeposit>;
  /**
   * Takes a deposit that was sent from the caller's address before it was known: by its id, or by the hash of its transaction.
   * @errors ApiError `deposit_not_parked` with how far it is, when it is the caller's already; `not_found`, `no_chain`
   */
  claim(id: string, options?: Keyed): Promise<Deposit>;
  /** What the ledger and the chain say that the platform holds. @errors ApiError `no_chain`, `chain_unreachable` */
  reserves(options?: Asked): Promise<Reserves>;
}

/** @internal */
export function depositsOf({ services: { deposits } }: Link): Deposits {
  return {
    address: (options) => deposits.createDepositAddress({}, keyOf(options)),
    list: (options) =>
      pagesOf(async (pageToken) => {
        const page = await deposits.listDeposits({ pageToken }, askedOf(options));
        return { items: page.deposits, next: page.nextPageToken };
      }),
    claim: (id, options) => deposits.claimDeposit({ id }, keyOf(options)),
    reserves: (options) => deposits.getReserves({}, askedOf(options)),
  };
}
