/**
 * Money on its way out: withdrawals, and the addresses that they may go to.
 * Promise: amounts are bigint micros, exact; the text that a wallet signs is shown to nobody else and is checked before.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSiwe } from '@tallystick/kernel';
import {
  type CreatePayoutAddressRequest,
  type PayoutAddress,
  type PayoutNonce,
  type Withdrawal,
  WithdrawalStatus,
} from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import { refuseForeignDomain } from './login.ts';
import { pagesOf } from './pages.ts';
import type { Link } from './services.ts';
import type { Signer } from './wallet.ts';

const LOOK_EVERY_MS = 500;
const HAS_ENDED: readonly WithdrawalStatus[] = [WithdrawalStatus.FINAL, WithdrawalStatus.RETURNED];

export interface WithdrawOptions extends Keyed {
  /** Absent: the address that the caller logs in with. */
  to?: string | undefined;
}

export interface Withdrawals {
  /**
   * Sends dollars out of the account; they are held at once, and arrive or come back.
   * @errors ApiError `withdrawal_over_balance`, `withdrawal_reserve`, `withdrawal_cap_exceeded`, `withdrawal_too_small`,
   * `payout_address_unknown`, `payout_address_waiting`, `payout_address_refused`, `reserves_disagree`, `withdrawals_off`, `no_chain`
   * @example const { id } = await tally.withdrawals.create(2_500_000n);
   */
  create(amountMicros: bigint, options?: WithdrawOptions): Promise<Withdrawal>;
  /** @errors ApiError `not_found` */
  get(id: string, options?: Asked): Promise<Withdrawal>;
  /** Takes it back while it is not signed. @errors ApiError `withdrawal_under_way`, `not_found` */
  cancel(id: string, options?: Keyed): Promise<Withdrawal>;
  /** Newest first. */
  list(options?: Asked): AsyncIterable<Withdrawal>;
  /** Waits until it is final or has come back; ends with the signal. */
  ended(id: string, options?: Asked): Promise<Withdrawal>;
  /** All that may leave the account now: within the month's cap, beside the reserve. 0 when that is less than the smallest withdrawal. */
  most(options?: Asked): Promise<bigint>;
  readonly addresses: PayoutAddresses;
}

/** The text as it was given, and both signatures in hex. */
export type PayoutProof = Pick<CreatePayoutAddressRequest, 'address' | 'message' | 'signature' | 'ownerSignature'>;

/** What signs texts. */
export type TextSigner = Pick<Signer, 'address' | 'signPersonal'>;

export interface PayoutAddresses {
  /** The own one, then the newest first. */
  list(options?: Asked): AsyncIterable<PayoutAddress>;
  /**
   * Proves that the signer's address lets this account withdraw to it, and that the account's owner wants it; usable a day later.
   * `owner` is the wallet that logs in: an API key alone adds no address.
   * @errors ApiError `payout_proof_refused`, `payout_address_refused`, `already_exists`; TypeError when the platform asks to sign something else
   */
  prove(signer: TextSigner, owner: TextSigner, options?: Asked): Promise<PayoutAddress>;
  /**
   * Has the account's wallet sign the text that a wallet elsewhere has signed, and brings both.
   * @errors as `prove`; nothing is signed that is not about the address
   */
  allow(proof: Omit<PayoutProof, 'ownerSignature'>, owner: TextSigner, options?: Keyed): Promise<PayoutAddress>;
  /** The text for a wallet elsewhere to sign; it serves one attempt. @errors ApiError `payout_address_refused`, `already_exists` */
  ask(address: string, options?: Keyed): Promise<PayoutNonce>;
  /** Brings both signatures of that text. @errors ApiError `payout_proof_refused` */
  confirm(proof: PayoutProof, options?: Keyed): Promise<PayoutAddress>;
  /** Nothing more is withdrawn to it. @errors ApiError `not_found` */
  revoke(address: string, options?: Keyed): Promise<PayoutAddress>;
}

/** @internal */
export function withdrawalsOf(link: Link, baseUrl: string): Withdrawals {
  const { withdrawals } = link.services;
  const get: Withdrawals['get'] = (id, options) => withdrawals.getWithdrawal({ id }, askedOf(options));
  return {
    create: (amountMicros, { to = '', ...options } = {}) =>
      withdrawals.createWithdrawal({ amountMicros, address: to }, keyOf(options)),
    get,
    cancel: (id, options) => withdrawals.cancelWithdrawal({ id }, keyOf(options)),
    list: (options) =>
      pagesOf(async (pageToken) => {
        const page = await withdrawals.listWithdrawals({ pageToken }, askedOf(options));
        return { items: page.withdrawals, next: page.nextPageToken };
      }),
    async ended(id, options) {
      for (let found = await get(id, options); ; found = await get(id, options)) {
        if (HAS_ENDED.includes(found.status)) return found;
        await sleep(LOOK_EVERY_MS, undefined, askedOf(options));
      }
    },
    most: (options) => mostOf(link, options),
    addresses: addressesOf(link, baseUrl),
  };
}

async function mostOf({ services: { billing, policy } }: Link, options?: Asked): Promise<bigint> {
  const [{ availableMicros }, { caps, use }] = await Promise.all([
    billing.getBalance({}, askedOf(options)),
    policy.getPolicy({}, askedOf(options)),
  ]);
  const spare = availableMicros - (caps?.withdrawReserveMicros ?? 0n);
  const left = use?.leftToWithdrawMicros ?? 0n;
  const most = spare < left ? spare : left;
  return most >= (caps?.withdrawMicrosMin ?? 0n) && most > 0n ? most : 0n;
}

function addressesOf({ services: { withdrawals } }: Link, baseUrl: string): PayoutAddresses {
  const ask: PayoutAddresses['ask'] = (address, options) => withdrawals.createPayoutNonce({ address }, keyOf(options));
  const confirm: PayoutAddresses['confirm'] = (proof, options) =>
    withdrawals.createPayoutAddress(proof, keyOf(options));
  const allow: PayoutAddresses['allow'] = async (proof, owner, options) => {
    const { address, message } = proof;
    refuseForeignText(message, { address, owner: owner.address }, baseUrl);
    return confirm({ ...proof, ownerSignature: await owner.signPersonal(message) }, options);
  };
  return {
    list: (options) =>
      pagesOf(async (pageToken) => {
        const page = await withdrawals.listPayoutAddresses({ pageToken }, askedOf(options));
        return { items: page.addresses, next: page.nextPageToken };
      }),
    async prove(signer, owner, options) {
      const { address } = signer;
      const { message } = await ask(address, options);
      refuseForeignText(message, { address, owner: owner.address }, baseUrl);
      return allow({ address, message, signature: await signer.signPersonal(message) }, owner, options);
    },
    allow,
    ask,
    confirm,
    revoke: (address, options) => withdrawals.deletePayoutAddress({ address }, keyOf(options)),
  };
}

const STATEMENT = /^Let withdrawals of the account eip155:[0-9]+:(0x[0-9a-f]{40}) go to (0x[0-9a-fA-F]{40})\.$/;

interface PayoutParties {
  address: string;
  owner: string;
}

/** A platform could pass on the text of a login elsewhere, or name another address. @errors TypeError for anything but what it is asked for */
function refuseForeignText(message: string, { address, owner }: PayoutParties, baseUrl: string): void {
  const parsed = parseSiwe(message);
  const [, account, target] = 'error' in parsed ? [] : (STATEMENT.exec(parsed.statement ?? '') ?? []);
  const isAsked =
    !('error' in parsed) &&
    [parsed.address, target].every((named) => named?.toLowerCase() === address.toLowerCase()) &&
    account === owner.toLowerCase();
  if (!isAsked)
    throw new TypeError('what is to be signed is not that this account may withdraw to this address: refused');
  refuseForeignDomain(parsed, baseUrl);
}
