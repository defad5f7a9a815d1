/**
 * Reads a program's settings from its environment.
 * Promise: a missing or malformed setting stops the program with one sentence that names it.
 */
import { readFileSync, statSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

const SEED_BYTES = 32;
const LOOSE_MODE_BITS = 0o077;

/** @errors throws naming the variable when it is unset and has no fallback. */
export function textSetting(env: Environment, name: string, fallback?: string): string {
  const value = env[name] || fallback;
  if (value === undefined) throw new Error(`the setting ${name} is missing`);
  return value;
}

/** An integer between `min` and `max`, both included. */
export function integerSetting(
  env: Environment,
  name: string,
  limits: { fallback: number; min: number; max: number },
): number {
  const text = env[name];
  if (text === undefined || text === '') return limits.fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < limits.min || value > limits.max) {
    throw new Error(`the setting ${name} is ${text}; it must be a whole number from ${limits.min} to ${limits.max}`);
  }
  return value;
}

/** `1`, `true` or `yes` switch on; `0`, `false`, `no` or nothing switch off. */
export function switchSetting(env: Environment, name: string): boolean {
  const text = (env[name] ?? '').toLowerCase();
  if (['1', 'true', 'yes'].includes(text)) return true;
  if (['', '0', 'false', 'no'].includes(text)) return false;
  throw new Error(`the setting ${name} is ${text}; it must be 1 or 0`);
}

/** The 32 bytes of a key file in base64. @errors throws when others than the owner may read the file. */
export function seedSetting(env: Environment, name: string): Buffer {
  const file = textSetting(env, name);
  if ((statSync(file).mode & LOOSE_MODE_BITS) !== 0) throw new Error(`the key file ${file} must have mode 0600`);
  const seed = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  if (seed.length !== SEED_BYTES) throw new Error(`the key file ${file} does not hold ${SEED_BYTES} bytes in base64`);
  return seed;
}
