/**
 * Tiers of trust as rules and contracts spell them.
 * Promise: one table for both directions.
 */
import type { TierName } from '@tallystick/kernel';
import { Tier } from '@tallystick/proto';

const TIERS: Record<TierName, Tier> = { new: Tier.NEW, standard: Tier.STANDARD, trusted: Tier.TRUSTED };

export const tierOf = (name: TierName): Tier => TIERS[name];

/** @errors throws TypeError for a tier that validation should have refused */
export function tierName(tier: Tier): TierName {
  const found = Object.entries(TIERS).find(([, one]) => one === tier);
  if (!found) throw new TypeError(`there is no tier ${tier}`);
  return found[0] as TierName;
}
