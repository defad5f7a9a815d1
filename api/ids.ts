/**
 * New ids for this program: the kernel's shape, filled with this machine's clock and randomness.
 * Promise: two calls never give the same id.
 */
import { createHash, randomBytes } from 'node:crypto';
import { ID_RANDOM_BYTES, newId, type Prefix } from '@tallystick/kernel';

const EXEC_ID_HEX_DIGITS = 32;

export const freshId = (prefix: Prefix): string => newId(prefix, Date.now(), randomBytes(ID_RANDOM_BYTES));

/** The exec id that a key stands for, so that a repeated request meets the command it started. */
export function execIdOf(principal: string, idempotencyKey: string): string {
  const hash = createHash('sha256').update(`${principal}\n${idempotencyKey}`).digest('hex');
  return `exec_${hash.slice(0, EXEC_ID_HEX_DIGITS)}`;
}
