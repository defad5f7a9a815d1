/**
 * The demo's options in people's words.
 * Promise: exact amounts and whole milliseconds, or a sentence that says what is accepted.
 */
import { SettingError } from '@tallystick/engine/program';

const MICROS_DIGITS = 6;
const QUANTUM_MS_MIN = 1_000;
const QUANTUM_MS_MAX = 60_000;

/** `400micros`, `400`, `$0.0004` or `0.0004usd`, in micro-USD. */
export function budgetOption(text: string): bigint {
  const micros = /^([0-9]{1,15})(?:micros)?$/.exec(text)?.[1];
  if (micros !== undefined) return positive(BigInt(micros), text);
  const [, whole, fraction = ''] = /^\$?([0-9]{1,9})(?:\.([0-9]{1,6}))?(?:usd)?$/.exec(text) ?? [];
  if (whole === undefined) throw new SettingError(`--budget ${text}: write 400micros or '$0.0004'`);
  return positive(BigInt(whole + fraction.padEnd(MICROS_DIGITS, '0')), text);
}

function positive(micros: bigint, text: string): bigint {
  if (micros === 0n) throw new SettingError(`--budget ${text}: the budget must be greater than zero`);
  return micros;
}

/** `3s`, `1500ms` or milliseconds as a number. */
export function quantumOption(text: string): bigint {
  const [, number, unit] = /^([0-9]{1,6})(ms|s)?$/.exec(text) ?? [];
  const ms = Number(number) * (unit === 's' ? 1_000 : 1);
  if (!(ms >= QUANTUM_MS_MIN && ms <= QUANTUM_MS_MAX)) throw new SettingError(`--quantum ${text}: write 1s to 60s`);
  return BigInt(ms);
}
