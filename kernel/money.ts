/**
 * Money: bigint millionths of a US dollar.
 * Promise: no float ever holds an amount, and every division says which way it rounds.
 */

export const MICROS_PER_USD = 1_000_000n;

/** The largest amount that a JSON number can carry, about 9 thousand million dollars. */
export const SAFE_MICROS_MAX = 2n ** 53n - 1n;

const MICROS = /^(?:0|-?[1-9][0-9]{0,18})$/;
const FRACTION_DIGITS = 6;
const CENTS_DIGITS = 2;

/**
 * Reads decimal micros such as `1500000`.
 * @errors throws TypeError for another spelling (plus, leading zero, fraction, -0), RangeError beyond SAFE_MICROS_MAX either way
 */
export function parseMicros(text: string): bigint {
  if (typeof text !== 'string' || !MICROS.test(text))
    throw new TypeError(`not an amount in micros: ${JSON.stringify(text)}`);
  const amountMicros = BigInt(text);
  if (amountMicros > SAFE_MICROS_MAX || amountMicros < -SAFE_MICROS_MAX)
    throw new RangeError(`an amount has at most ${SAFE_MICROS_MAX} micros, asked ${text}`);
  return amountMicros;
}

/** `$1.234567`, `$1.50`, `-$0.25`: exact, at least two decimals, further zeros trimmed. */
export function formatUsd(amountMicros: bigint): string {
  const magnitude = amountMicros < 0n ? -amountMicros : amountMicros;
  const fraction = String(magnitude % MICROS_PER_USD).padStart(FRACTION_DIGITS, '0');
  const decimals = fraction.replace(/0+$/, '').padEnd(CENTS_DIGITS, '0');
  return `${amountMicros < 0n ? '-' : ''}$${magnitude / MICROS_PER_USD}.${decimals}`;
}

/**
 * amount * num / den, rounded down: what somebody receives.
 * @errors throws RangeError unless amount >= 0, num >= 0 and den > 0
 */
export function mulDivFloor(amount: bigint, num: bigint, den: bigint): bigint {
  assertRatio(amount, num, den);
  return (amount * num) / den;
}

/**
 * amount * num / den, rounded up: what somebody pays.
 * @errors throws RangeError unless amount >= 0, num >= 0 and den > 0
 */
export function mulDivCeil(amount: bigint, num: bigint, den: bigint): bigint {
  assertRatio(amount, num, den);
  return (amount * num + den - 1n) / den;
}

function assertRatio(amount: bigint, num: bigint, den: bigint): void {
  if (amount < 0n || num < 0n || den <= 0n) throw new RangeError(`no share of money: ${amount} * ${num} / ${den}`);
}
