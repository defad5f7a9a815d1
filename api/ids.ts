/**
 * New ids for this program: the kernel's shape, filled with this machine's clock and randomness.
 * Promise: two calls never give the same id.
 */
import { createHash, randomBytes } from 'node:crypto';
import { ID_RANDOM_BYTES, newId, type Prefix } from '@tallystick/kernel';

const KEYED_HEX_DIGITS = 32;

export const freshId = (prefix: Prefix): string => newId(prefix, Date.now(), randomBytes(ID_RANDOM_BYTES));

/** The exec id that a key stands for, so that a repeated request meets the command it started. */
export const execIdOf = (principal: string, idempotencyKey: string): string =>
  keyedName('exec', principal, idempotencyKey);

/** The name of the change of a path that a key stands for. */
export const changeIdOf = (principal: string, idempotencyKey: string): string =>
  keyedName('change', principal, idempotencyKey);

/** The watch that a key stands for. */
export const watchIdOf = (principal: string, idempotencyKey: string): string =>
  keyedName('wch', principal, idempotencyKey);

function keyedName(prefix: string, principal: string, idempotencyKey: string): string {
  const hash = createHash('sha256').update(`${principal}\n${idempotencyKey}`).digest('hex');
  return `${prefix}_${hash.slice(0, KEYED_HEX_DIGITS)}`;
}
