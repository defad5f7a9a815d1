/**
 * How the platform stands to a principal: the words that the plane which decides it and the planes that obey it share.
 * Promise: names and shape only; who changes a standing is decided in identity, what it allows in the planes that have caps.
 */

/** Tiers of trust, lowest first. */
export const TIER_NAMES = ['new', 'standard', 'trusted'] as const;
export type TierName = (typeof TIER_NAMES)[number];

/** State of a standing's stream; a principal without one stands at the default tier. */
export type Standing = {
  /** Empty while nothing was ever changed. */
  principal: string;
  tier: TierName;
  suspended: boolean;
  /** Why it is suspended; empty while it is not. */
  reason: string;
  /** How often it was changed. */
  version: number;
  changed_at_us: string;
};

export const DEFAULT_TIER: TierName = 'standard';

export const isTierName = (text: string): text is TierName => (TIER_NAMES as readonly string[]).includes(text);

/** The stream that holds a principal's standing. */
export const standingStream = (principal: string): string => `standing:${principal}`;
