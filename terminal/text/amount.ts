/**
 * Amounts of money as people write them.
 * Promise: exact; an amount without its unit is refused, never guessed.
 */
import { MICROS_PER_USD, SAFE_MICROS_MAX } from '@tallystick/sdk';
import { UsageError } from './usage-error.ts';

const DOLLARS = /^(?:\$(?<before>[0-9]+(?:\.[0-9]+)?)|(?<after>[0-9]+(?:\.[0-9]+)?)usd)$/i;
const MICROS = /^[0-9]+micros$/i;
const BARE = /^\$?[0-9]*\.?[0-9]+$/;
const FRACTION_DIGITS_MAX = 6;
const EXAMPLES = 'Write $1.25, 1.25usd or 1250000micros.';

/**
 * `$1.25`, `1.25usd` and `1250000micros` are the same amount in micro-USD.
 * @errors UsageError for a number without a unit, more than 6 decimals, zero, or more than fits a JSON number
 * @example parseAmount('$0.05') // 50000n
 */
export function parseAmount(text: string): bigint {
  const amountMicros = MICROS.test(text) ? BigInt(text.slice(0, -'micros'.length)) : parseDollars(text);
  if (amountMicros <= 0n) throw new UsageError(`${text} is not more than zero.`, EXAMPLES);
  if (amountMicros > SAFE_MICROS_MAX)
    throw new UsageError(`${text} is above the largest amount, ${SAFE_MICROS_MAX}micros.`, 'Write a smaller amount.');
  return amountMicros;
}

function parseDollars(text: string): bigint {
  const match = DOLLARS.exec(text);
  const decimal = match?.groups?.['before'] ?? match?.groups?.['after'];
  if (decimal === undefined) throw notAnAmount(text);
  const [whole = '0', fraction = ''] = decimal.split('.');
  if (fraction.length > FRACTION_DIGITS_MAX)
    throw new UsageError(
      `${text} has parts smaller than a micro-USD.`,
      `Write at most ${FRACTION_DIGITS_MAX} decimals.`,
    );
  return BigInt(whole) * MICROS_PER_USD + BigInt(fraction.padEnd(FRACTION_DIGITS_MAX, '0'));
}

function notAnAmount(text: string): UsageError {
  if (!BARE.test(text)) return new UsageError(`${JSON.stringify(text)} is not an amount.`, EXAMPLES);
  const bare = text.replace('$', '');
  const micros = bare.includes('.') ? '' : `, or ${bare}micros if you mean millionths`;
  return new UsageError(`The amount ${text} has no unit.`, `Write '$${bare}' if you mean dollars${micros}.`);
}
