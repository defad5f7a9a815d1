/**
 * Names that a caller chooses.
 * Promise: fresh ones never meet; repeats of a call carry the same one.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { ID_RANDOM_BYTES, newId } from '@tallystick/kernel';

/** What every call that changes something takes. */
export interface Keyed {
  /** Idempotency key: the same key repeats the same request and gets the first answer; absent: a fresh one. */
  key?: string;
}

/** @internal */
export const keyOf = (options?: Keyed): { idempotencyKey: string } => ({
  idempotencyKey: options?.key ?? randomUUID(),
});

/** An id for a command, `exec_…`; with it a command is started at most once. */
export const newExecId = (): string => newId('exec', Date.now(), randomBytes(ID_RANDOM_BYTES));
