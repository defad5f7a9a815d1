/**
 * Limits: effective = min(asked, policy, what remains of the job).
 * Promise: what was asked, what applies and which rule made it smaller always stand together.
 */

/** Amounts are decimal strings of micros, everything else is a number. */
export type ClampState = { field: string; requested: string | number; effective: string | number; rule: string };

export type ClampRule = 'user_policy' | 'job_remaining';

export interface Bound {
  rule: ClampRule;
  max: bigint;
}

export interface Clamped {
  effective: bigint;
  /** Empty when nothing made it smaller. */
  rule: ClampRule | '';
}

/** The smallest of the asked and the bounds; the first of equal bounds is named. */
export function clamp(requested: bigint, ...bounds: Bound[]): Clamped {
  let clamped: Clamped = { effective: requested, rule: '' };
  for (const { rule, max } of bounds) if (max < clamped.effective) clamped = { effective: max, rule };
  return clamped;
}

/** The line for the caller about an amount of money. */
export const spendClamp = (field: string, requested: bigint, { effective, rule }: Clamped): ClampState => ({
  field,
  requested: String(requested),
  effective: String(effective),
  rule,
});

/** The line for the caller about a count or a duration. */
export const countClamp = (field: string, requested: number, { effective, rule }: Clamped): ClampState => ({
  field,
  requested,
  effective: Number(effective),
  rule,
});

/** The latest line per field. */
export const mergeClamps = (before: readonly ClampState[], added: readonly ClampState[]): ClampState[] => [
  ...before.filter(({ field }) => !added.some((one) => one.field === field)),
  ...added,
];

/** The first rule that made something smaller; empty when none did. */
export const ruleOf = (clamps: readonly ClampState[]): string => clamps.find(({ rule }) => rule !== '')?.rule ?? '';
