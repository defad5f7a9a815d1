/**
 * Reads a program's settings from its environment.
 * Promise: a missing or malformed setting stops the program with one sentence that names it.
 */
import { readFileSync, statSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The exit code of a program that a setting kept from starting. */
export const EXIT_SETTING = 2;
const SEED_BYTES = 32;
const LOOSE_MODE_BITS = 0o077;

/** A setting that is missing or malformed; the sentence names it and says what it must be. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
}

/** Starts a program, or ends it with one line on standard error when a setting is wrong. Anything else is thrown on. */
export async function startOrTell<T>(start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (fault) {
    if (!(fault instanceof SettingError)) throw fault;
    return tellAndExit(fault);
  }
}

/** Ends a program that a wrong setting keeps from going on, with one line on standard error. */
export function tellAndExit({ message }: SettingError): never {
  process.stderr.write(`${message}\n`);
  process.exit(EXIT_SETTING);
}

/** @errors throws naming the variable when it is unset and has no fallback. */
export function textSetting(env: Environment, name: string, fallback?: string): string {
  const value = env[name] || fallback;
  if (value === undefined) throw new SettingError(`the setting ${name} is missing`);
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
    throw new SettingError(
      `the setting ${name} is ${text}; it must be a whole number from ${limits.min} to ${limits.max}`,
    );
  }
  return value;
}

/** `1`, `true` or `yes` switch on; `0`, `false`, `no` or nothing switch off. */
export function switchSetting(env: Environment, name: string): boolean {
  const text = (env[name] ?? '').toLowerCase();
  if (['1', 'true', 'yes'].includes(text)) return true;
  if (['', '0', 'false', 'no'].includes(text)) return false;
  throw new SettingError(`the setting ${name} is ${text}; it must be 1 or 0`);
}

/** An absolute URL that begins with one of `schemes`, such as `https:`; its text is not told: it may hold a password. */
export function urlSetting(env: Environment, name: string, schemes: readonly string[]): string | undefined {
  const text = env[name];
  if (!text) return undefined;
  if (URL.canParse(text) && schemes.includes(new URL(text).protocol)) return text;
  throw new SettingError(
    `the setting ${name} is no URL; it must begin with ${schemes.map((one) => `${one}//`).join(' or ')}`,
  );
}

/** The 32 bytes of a key file in base64. @errors throws when others than the owner may read the file. */
export function seedSetting(env: Environment, name: string): Buffer {
  const file = textSetting(env, name);
  const status = statSync(file, { throwIfNoEntry: false });
  if (!status?.isFile()) throw new SettingError(`the setting ${name} is ${file}; it must be a file, and there is none`);
  if ((status.mode & LOOSE_MODE_BITS) !== 0) throw new SettingError(`the key file ${file} must have mode 0600`);
  const seed = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  if (seed.length !== SEED_BYTES)
    throw new SettingError(`the key file ${file} does not hold ${SEED_BYTES} bytes in base64`);
  return seed;
}
