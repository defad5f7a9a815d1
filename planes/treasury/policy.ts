/**
 * What may leave: data, by tier.
 * Promise: the one place where the limits of withdrawals stand and are looked up.
 */
import {
  type Allowance as AllowanceUnder,
  allowanceSeen,
  allowanceUnder,
  type Seen,
  type Standing,
  type TierName,
} from '@tallystick/kernel';

/** Limits of one tier of accounts. */
export type PayoutTier = {
  /** Per UTC month, net of what came back. */
  withdraw_micros_per_month_max: string;
  /** What a withdrawal leaves in the account, so that what runs there goes on for a while; a request may bring more (CHAIN_WITHDRAWAL_RESERVE_MICROS). */
  withdraw_reserve_micros: string;
  /** On their way at once: each costs the platform gas. */
  withdrawals_open_max: number;
  /** Asked for on one UTC day, whatever became of them. */
  withdrawals_per_day_max: number;
};

export type TreasuryPolicy = {
  tiers: Record<TierName, PayoutTier>;
  /** Less is refused on every chain; where gas costs, the request brings a higher minimum (CHAIN_WITHDRAWAL_MIN_MICROS). */
  withdraw_micros_min: string;
  /** From the proof of an address to its first withdrawal: time for its owner to notice that it was added. */
  payout_address_delay_ms: number;
};

export const PAYOUT_POLICY: TreasuryPolicy = {
  tiers: {
    new: {
      ...{ withdraw_micros_per_month_max: '5000000', withdraw_reserve_micros: '1000000' },
      ...{ withdrawals_open_max: 3, withdrawals_per_day_max: 5 },
    },
    standard: {
      ...{ withdraw_micros_per_month_max: '1000000000', withdraw_reserve_micros: '0' },
      ...{ withdrawals_open_max: 5, withdrawals_per_day_max: 20 },
    },
    trusted: {
      ...{ withdraw_micros_per_month_max: '100000000000', withdraw_reserve_micros: '0' },
      ...{ withdrawals_open_max: 500, withdrawals_per_day_max: 5_000 },
    },
  },
  withdraw_micros_min: '10000',
  payout_address_delay_ms: 86_400_000,
};

/** What holds for one principal. */
export type PayoutAllowance = AllowanceUnder<PayoutTier>;

export const payoutAllowanceOf = (standing: Standing): PayoutAllowance => allowanceUnder(PAYOUT_POLICY.tiers, standing);

/** What holds for the principal now; its standing must be among the reads. */
export const payoutAllowanceIn = (seen: Seen, principal: string): PayoutAllowance =>
  allowanceSeen(PAYOUT_POLICY.tiers, seen, principal);
