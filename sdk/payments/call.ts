/**
 * Which call a payment is for.
 * Promise: a key says so only at its platform and for its account: what is allowed for one platform's "monday" is nothing for another's.
 */
import type { PaymentRequired } from '@tallystick/surface/client';

/** Whatever names a call has these. */
export interface CallName {
  /** Of the platform: scheme, host and port of its address. */
  origin: string;
  /** Whose call it is, as offers name it; empty where it is not known. */
  account: string;
  /** Idempotency key. */
  key: string;
}

/** An account that is not known may be either. */
export function isSameCall(one: CallName, other: CallName): boolean {
  const isSameAccount = one.account === '' || other.account === '' || one.account === other.account;
  return one.origin === other.origin && one.key === other.key && isSameAccount;
}

/** The platform that a url is of. What is no url stands for itself. */
export const originOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : url);

/** The account that is paid for, as the wallet knows it, else as its platform says. */
export function accountOf({ options }: PaymentRequired, known: string | undefined): string {
  const told = options[0]?.extra['creditAccount'];
  return known ?? (typeof told === 'string' ? told : '');
}
