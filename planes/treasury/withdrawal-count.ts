/**
 * How many withdrawals a principal may have on their way at once, and ask for in a day: each costs the platform gas.
 * Promise: counted as accounts, so that the database refuses one too many even if the rule is wrong.
 */
import {
  dayOf,
  dayWithdrawalsAccount,
  dayWithdrawalsLeftAccount,
  type NewAccount,
  openWithdrawalsAccount,
  openWithdrawalsLeftAccount,
  type Posting,
  type QuotaPair,
  quotaAccounts,
  quotaGivenBack,
  quotaOf,
  quotaTaken,
  type Rejection,
  type Seen,
  SLOT_ISSUER,
  timeMsOf,
} from '@tallystick/kernel';
import type { PayoutAllowance } from './policy.ts';

const DAY_US = 86_400_000_000n;
const US_PER_MS = 1_000n;

const openPair = (principal: string): QuotaPair => ({
  ...{ asset: 'slot' as const, issuer: SLOT_ISSUER },
  ...{ left: openWithdrawalsLeftAccount(principal), used: openWithdrawalsAccount(principal) },
});

const dayPair = (principal: string, day: string): QuotaPair => ({
  ...{ asset: 'slot' as const, issuer: SLOT_ISSUER },
  ...{ left: dayWithdrawalsLeftAccount(principal, day), used: dayWithdrawalsAccount(principal, day) },
});

const dayAfter = (day: string): string => dayOf(BigInt(timeMsOf(`${day}T00:00:00Z`)!) * US_PER_MS + DAY_US);

/** What a request on that day, or just after it, must see. */
export const countAccounts = (principal: string, day: string): string[] =>
  [openPair(principal), dayPair(principal, day), dayPair(principal, dayAfter(day))].flatMap(quotaAccounts);

export interface Count {
  opens: NewAccount[];
  /** Counts one more. */
  postings: Posting[];
}

/** One more, or which cap is in the way; `countAccounts` must be among the reads. */
export function countedOne(seen: Seen, principal: string, { tier, tierName }: PayoutAllowance): Count | Rejection {
  const caps = [
    { cap: 'withdrawals_open_max', pair: openPair(principal), most: tier.withdrawals_open_max },
    { cap: 'withdrawals_per_day_max', pair: dayPair(principal, dayOf(seen.atUs)), most: tier.withdrawals_per_day_max },
  ];
  const counted = caps.map(({ cap, pair, most }) => ({ cap, pair, quota: quotaOf(seen, pair, BigInt(most)) }));
  const full = counted.find(({ quota }) => quota.left < 1n);
  if (full) {
    const facts = { cap: full.cap, asked: '1', available: '0', tier: tierName };
    return { rejection: 'POLICY_CAP_EXCEEDED', facts };
  }
  return {
    opens: counted.flatMap(({ quota }) => quota.opens),
    postings: counted.flatMap(({ pair, quota }) => [...quota.postings, quotaTaken(pair, 1n)]),
  };
}

/** It is not on its way any more; the day keeps it counted. */
export const countedOff = (principal: string): Posting => quotaGivenBack(openPair(principal), 1n);
