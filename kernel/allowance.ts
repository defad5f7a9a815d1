/**
 * What a standing allows: the caps of its tier, and nothing new while it is suspended.
 * Promise: the same reading of a standing and the same two refusals in every plane that has caps.
 */
import type { Rejection, Seen } from './decider.ts';
import { type Standing, standingStream, type TierName } from './standing.ts';

/** What holds for one principal under a plane's caps by tier. */
export interface Allowance<Tier> {
  tierName: TierName;
  tier: Tier;
  /** Why nothing new may be begun; undefined while it is not suspended. */
  suspendedFor: string | undefined;
}

/** What the caps allow to whoever stands so. */
export const allowanceUnder = <Tier>(
  tiers: Readonly<Record<TierName, Tier>>,
  { tier, suspended, reason }: Standing,
): Allowance<Tier> => ({ tierName: tier, tier: tiers[tier], suspendedFor: suspended ? reason : undefined });

/** What holds for the principal now; its standing must be among the reads. */
export const allowanceSeen = <Tier>(
  tiers: Readonly<Record<TierName, Tier>>,
  seen: Seen,
  principal: string,
): Allowance<Tier> => allowanceUnder(tiers, seen.state(standingStream(principal)) as Standing);

/** Undefined when the principal may begin something new. */
export const suspended = ({ suspendedFor }: Pick<Allowance<unknown>, 'suspendedFor'>): Rejection | undefined =>
  suspendedFor === undefined ? undefined : { rejection: 'ACCOUNT_SUSPENDED', facts: { reason: suspendedFor } };

/** A cap of the tier says no; a higher tier may say yes. */
export const overPolicy = (
  { tierName }: Pick<Allowance<unknown>, 'tierName'>,
  cap: string,
  asked: string | number,
  available: string | number,
): Rejection => ({ rejection: 'POLICY_CAP_EXCEEDED', facts: { cap, asked, available, tier: tierName } });
