/**
 * Names that a caller chooses.
 * Promise: fresh ones never meet; repeats of a call carry the same one.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { ID_RANDOM_BYTES, newId } from '@tallystick/kernel';

/** What every call takes. */
export interface Asked {
  /** Ends the call, its retries and the waiting between them; what the platform did already stays done. */
  signal?: AbortSignal | undefined;
}

/** What every call that changes something takes. */
export interface Keyed extends Asked {
  /** Idempotency key: the same key repeats the same request and gets the first answer; absent: a fresh one. */
  key?: string | undefined;
}

/** @internal */
export const askedOf = (options?: Asked): { signal?: AbortSignal } =>
  options?.signal === undefined ? {} : { signal: options.signal };

/** @internal */
export const keyOf = (options?: Keyed): { idempotencyKey: string; signal?: AbortSignal } => ({
  idempotencyKey: options?.key ?? randomUUID(),
  ...askedOf(options),
});

/**
 * A name as an idempotency key: within `scope` the same name is the same thing, however often it is asked for.
 * @internal
 */
export const keyOfName = (scope: string, name: string): string =>
  `name/${scope}/${createHash('sha256').update(name).digest('hex')}`;

const EXEC_ID_HEX_CHARS = 32;

/** How one start of a command is known: its id follows from its key unless it is given, so that a repeat with the key is the same request. */
export function nameOfRun({ execId, key = randomUUID() }: { execId?: string | undefined; key?: string | undefined }): {
  execId: string;
  key: string;
} {
  const ofKey = createHash('sha256').update(`exec\n${key}`).digest('hex').slice(0, EXEC_ID_HEX_CHARS);
  return { execId: execId ?? `exec_${ofKey}`, key };
}

/** An id for a command, `exec_…`; with it a command is started at most once. */
export const newExecId = (): string => newId('exec', Date.now(), randomBytes(ID_RANDOM_BYTES));
