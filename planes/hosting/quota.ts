/**
 * What a principal may use over all its jobs: spending per day and sandboxes at once, each as a pair of ledger accounts.
 * Promise: what is left and what is used together are the tier's cap; the database refuses to use more than is left.
 */
import {
  type Asset,
  CAP_ISSUER,
  dayCapAccount,
  dayOf,
  daySpentAccount,
  type NewAccount,
  type Posting,
  type Seen,
  SLOT_ISSUER,
  timeMsOf,
  userRunningAccount,
  userSlotAccount,
  userSnapshotSlotAccount,
  userSnapshotsAccount,
  userStoreAccount,
  userStoredAccount,
} from '@tallystick/kernel';
import type { Tier } from './policy.ts';

/** One cap and the two accounts that hold it. */
interface Pair {
  asset: Asset;
  issuer: string;
  left: string;
  used: string;
}

/** What a pair is once it was brought to the cap: opened at first use, raised or lowered when the tier has changed. */
export interface Quota {
  left: bigint;
  used: bigint;
  opens: NewAccount[];
  /** Those that bring it to the cap. */
  postings: Posting[];
}

const US_PER_DAY = 86_400_000_000n;
const US_PER_MS = 1_000n;

const dayPair = (principal: string, day: string): Pair => ({
  asset: 'cap',
  issuer: CAP_ISSUER,
  left: dayCapAccount(principal, day),
  used: daySpentAccount(principal, day),
});

const slotPair = (principal: string): Pair => ({
  asset: 'slot',
  issuer: SLOT_ISSUER,
  left: userSlotAccount(principal),
  used: userRunningAccount(principal),
});

/** The accounts of a day's spending. */
export const dayAccounts = (principal: string, day: string): string[] => accountsOf(dayPair(principal, day));
/** The accounts of all sandboxes of a principal. */
export const slotAccounts = (principal: string): string[] => accountsOf(slotPair(principal));

/** The day after a day `yyyy-mm-dd`. @errors throws TypeError for what is no day */
export function dayAfter(day: string): string {
  const startMs = timeMsOf(`${day}T00:00:00Z`);
  if (startMs === undefined) throw new TypeError(`${day} is no day`);
  return dayOf(BigInt(startMs) * US_PER_MS + US_PER_DAY);
}

const accountsOf = ({ left, used }: Pair): string[] => [left, used];

/** What the principal may still spend on that day; its accounts must be among the reads. */
export const dayQuota = (seen: Seen, principal: string, day: string, tier: Tier): Quota =>
  quotaOf(seen, dayPair(principal, day), BigInt(tier.spend_micros_per_day_max));

/** How many more sandboxes the principal may run; its accounts must be among the reads. */
export const slotQuota = (seen: Seen, principal: string, tier: Tier): Quota =>
  quotaOf(seen, slotPair(principal), BigInt(tier.sandboxes_max));

/** What is left of a cap; 0 when it was lowered below what is used. */
export const quotaLeft = (cap: bigint, used: bigint): bigint => (cap > used ? cap - used : 0n);

function quotaOf(seen: Seen, { asset, issuer, left, used }: Pair, cap: bigint): Quota {
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

/** Uses up what was spent on that day. */
export const daySpending = (principal: string, day: string, amountMicros: bigint): Posting =>
  moved(dayPair(principal, day), amountMicros);

/** Takes the place of one more sandbox. */
export const slotTaking = (principal: string): Posting => moved(slotPair(principal), 1n);

const moved = ({ asset, left, used }: Pair, amountMicros: bigint): Posting => ({
  asset,
  debit: left,
  credit: used,
  amountMicros,
});

const snapshotPair = (principal: string): Pair => ({
  asset: 'slot',
  issuer: SLOT_ISSUER,
  left: userSnapshotSlotAccount(principal),
  used: userSnapshotsAccount(principal),
});

const storePair = (principal: string): Pair => ({
  asset: 'slot',
  issuer: SLOT_ISSUER,
  left: userStoreAccount(principal),
  used: userStoredAccount(principal),
});

/** The accounts of all snapshots of a principal. */
export const snapshotAccounts = (principal: string): string[] => [
  ...accountsOf(snapshotPair(principal)),
  ...accountsOf(storePair(principal)),
];

/** How many more snapshots the principal may keep, and bytes of them; its accounts must be among the reads. */
export const snapshotQuotas = (seen: Seen, principal: string, tier: Tier): { count: Quota; bytes: Quota } => ({
  count: quotaOf(seen, snapshotPair(principal), BigInt(tier.snapshots_max)),
  bytes: quotaOf(seen, storePair(principal), BigInt(tier.snapshot_bytes_max)),
});

/** Takes that much more, or gives it back when it is negative. */
export const storeChange = (principal: string, snapshots: bigint, bytes: bigint): Posting[] =>
  [
    { pair: snapshotPair(principal), amount: snapshots },
    { pair: storePair(principal), amount: bytes },
  ]
    .filter(({ amount }) => amount !== 0n)
    .map(({ pair, amount }) => (amount > 0n ? moved(pair, amount) : back(pair, -amount)));

/** What comes back when a sandbox has ended: its place, and what of the refund was spent on that day. */
export const returned = (principal: string, day: string, refundMicros: bigint): Posting[] => [
  back(dayPair(principal, day), refundMicros),
  back(slotPair(principal), 1n),
];

const back = ({ asset, left, used }: Pair, amountMicros: bigint): Posting => ({
  asset,
  debit: used,
  credit: left,
  amountMicros,
});
