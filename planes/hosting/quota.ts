/**
 * What a principal may use over all its jobs: spending per day, sandboxes at once, snapshots kept; each as a pair of ledger accounts.
 * Promise: each cap is the tier's; the database refuses to use more than is left.
 */
import {
  CAP_ISSUER,
  dayCapAccount,
  dayOf,
  daySpentAccount,
  type Posting,
  type Quota,
  type QuotaPair,
  quotaAccounts,
  quotaGivenBack,
  quotaOf,
  quotaTaken,
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

const US_PER_DAY = 86_400_000_000n;
const US_PER_MS = 1_000n;

const dayPair = (principal: string, day: string): QuotaPair => ({
  asset: 'cap',
  issuer: CAP_ISSUER,
  left: dayCapAccount(principal, day),
  used: daySpentAccount(principal, day),
});

const slotPair = (principal: string): QuotaPair => ({
  asset: 'slot',
  issuer: SLOT_ISSUER,
  left: userSlotAccount(principal),
  used: userRunningAccount(principal),
});

/** The accounts of a day's spending. */
export const dayAccounts = (principal: string, day: string): string[] => quotaAccounts(dayPair(principal, day));
/** The accounts of all sandboxes of a principal. */
export const slotAccounts = (principal: string): string[] => quotaAccounts(slotPair(principal));

/** The day after a day `yyyy-mm-dd`. @errors throws TypeError for what is no day */
export function dayAfter(day: string): string {
  const startMs = timeMsOf(`${day}T00:00:00Z`);
  if (startMs === undefined) throw new TypeError(`${day} is no day`);
  return dayOf(BigInt(startMs) * US_PER_MS + US_PER_DAY);
}

/** What the principal may still spend on that day; its accounts must be among the reads. */
export const dayQuota = (seen: Seen, principal: string, day: string, tier: Tier): Quota =>
  quotaOf(seen, dayPair(principal, day), BigInt(tier.spend_micros_per_day_max));

/** How many more sandboxes the principal may run; its accounts must be among the reads. */
export const slotQuota = (seen: Seen, principal: string, tier: Tier): Quota =>
  quotaOf(seen, slotPair(principal), BigInt(tier.sandboxes_max));

/** Uses up what was spent on that day. */
export const daySpending = (principal: string, day: string, amountMicros: bigint): Posting =>
  quotaTaken(dayPair(principal, day), amountMicros);

/** Takes the place of one more sandbox. */
export const slotTaking = (principal: string): Posting => quotaTaken(slotPair(principal), 1n);

const snapshotPair = (principal: string): QuotaPair => ({
  asset: 'slot',
  issuer: SLOT_ISSUER,
  left: userSnapshotSlotAccount(principal),
  used: userSnapshotsAccount(principal),
});

const storePair = (principal: string): QuotaPair => ({
  asset: 'slot',
  issuer: SLOT_ISSUER,
  left: userStoreAccount(principal),
  used: userStoredAccount(principal),
});

/** The accounts of all snapshots of a principal. */
export const snapshotAccounts = (principal: string): string[] => [
  ...quotaAccounts(snapshotPair(principal)),
  ...quotaAccounts(storePair(principal)),
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
    .map(({ pair, amount }) => (amount > 0n ? quotaTaken(pair, amount) : quotaGivenBack(pair, -amount)));

/** What comes back when a sandbox has ended: its place, and what of the refund was spent on that day. */
export const returned = (principal: string, day: string, refundMicros: bigint): Posting[] => [
  quotaGivenBack(dayPair(principal, day), refundMicros),
  quotaGivenBack(slotPair(principal), 1n),
];
