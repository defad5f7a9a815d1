/**
 * A cap as a pair of ledger accounts: one for what is left, one for what is used.
 * Promise: what is left and what is used together are the cap; the database refuses to use more than is left.
 */
import type { Asset, NewAccount, Posting, Seen } from './decider.ts';

/** One cap and the two accounts that hold it. */
export interface QuotaPair {
  asset: Asset;
  /** Grants what is left, and takes it back when the cap is lowered. */
  issuer: string;
  left: string;
  used: string;
}

/** What a pair is once it was brought to the cap: opened at first use, raised or lowered when the cap has changed. */
export interface Quota {
  left: bigint;
  used: bigint;
  opens: NewAccount[];
  /** Those that bring it to the cap. */
  postings: Posting[];
}

/** What a decision must see of a pair. */
export const quotaAccounts = ({ left, used }: QuotaPair): string[] => [left, used];

/** What is left of a cap; 0 when it was lowered below what is used. */
export const quotaLeft = (cap: bigint, used: bigint): bigint => (cap > used ? cap - used : 0n);

/** The pair as it is under this cap; its accounts must be among the reads. */
export function quotaOf(seen: Seen, { asset, issuer, left, used }: QuotaPair, cap: bigint): Quota {
  const before = seen.availableMicros(left);
  const spent = seen.availableMicros(used) ?? 0n;
  const now = quotaLeft(cap, spent);
  const change = now - (before ?? 0n);
  const [debit, credit] = change > 0n ? [issuer, left] : [left, issuer];
  return {
    left: now,
    used: spent,
    opens: before === undefined ? [left, used].map((account) => ({ account, asset, noOverdraft: true })) : [],
    postings: change === 0n ? [] : [{ asset, debit, credit, amountMicros: change > 0n ? change : -change }],
  };
}

/** Uses up so much of what is left. */
export const quotaTaken = ({ asset, left, used }: QuotaPair, amountMicros: bigint): Posting => ({
  asset,
  debit: left,
  credit: used,
  amountMicros,
});

/** Gives back so much of what was used. */
export const quotaGivenBack = ({ asset, left, used }: QuotaPair, amountMicros: bigint): Posting => ({
  asset,
  debit: used,
  credit: left,
  amountMicros,
});
