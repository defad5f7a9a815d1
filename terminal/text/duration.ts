/**
 * Lengths of time as people write them.
 * Promise: exact milliseconds; a number without its unit is refused.
 */
import { UsageError } from './usage-error.ts';

const UNIT_MS = { ms: 1n, s: 1000n, m: 60_000n, h: 3_600_000n, d: 86_400_000n } as const;
type Unit = keyof typeof UNIT_MS;
const PART = /([0-9]+)(ms|s|m|h|d)/g;
const WHOLE = /^(?:[0-9]+(?:ms|s|m|h|d))+$/;
const EXAMPLES = 'Write 500ms, 90s, 5m, 24h, 7d or 1h30m.';
/** The longest time any limit of the platform has: 365 days. */
export const DURATION_MS_MAX = 31_536_000_000n;

/**
 * `90s`, `5m`, `24h`, `1h30m`.
 * @errors UsageError for a missing unit, a unit written twice, zero, or more than 365 days
 * @example parseDuration('1h30m') // 5400000n
 */
export function parseDuration(text: string): bigint {
  if (/^[0-9]+$/.test(text))
    throw new UsageError(`The time ${text} has no unit.`, `Write ${text}s if you mean seconds, ${text}m for minutes.`);
  if (!WHOLE.test(text)) throw new UsageError(`${JSON.stringify(text)} is not a length of time.`, EXAMPLES);
  const parts = [...text.matchAll(PART)].map((match) => ({ count: BigInt(match[1]!), unit: match[2] as Unit }));
  if (new Set(parts.map((part) => part.unit)).size !== parts.length)
    throw new UsageError(`${text} names a unit twice.`, EXAMPLES);
  const totalMs = parts.reduce((sum, part) => sum + part.count * UNIT_MS[part.unit], 0n);
  if (totalMs === 0n) throw new UsageError(`${text} is not more than zero.`, EXAMPLES);
  if (totalMs > DURATION_MS_MAX) throw new UsageError(`${text} is longer than 365d.`, 'Write a shorter time.');
  return totalMs;
}

/** `1h30m`, `45s`, `250ms`: the shortest exact spelling that parseDuration reads back. */
export function formatDuration(durationMs: bigint): string {
  if (durationMs === 0n) return '0s';
  let rest = durationMs;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = rest / UNIT_MS[unit];
    rest %= UNIT_MS[unit];
    if (count > 0n) text += `${count}${unit}`;
  }
  return text;
}
