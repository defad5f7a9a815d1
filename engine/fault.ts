/**
 * The world failed: a connection, a server, a limit of time.
 * Promise: a Fault never says whether the command took effect; the same key asks again and is answered once.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
}

/** SQLSTATE of PostgreSQL, or the code of a socket error; empty when there is none. */
export const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '');

const isCodeError = (error: unknown): boolean => error instanceof TypeError || error instanceof RangeError;

/** Constraint, value, size, ledger rule: the batch's own fault. */
export const isRefusedByDatabase = (error: unknown): boolean => /^(22|23|54|LG)...$/.test(codeOf(error));

/** Connection, shutdown, out of resources, deadlock: the world's fault. Socket errors have no SQLSTATE, some have no code. */
export const isOutage = (error: unknown): boolean =>
  !isCodeError(error) && /^(08...|57P..|53...|40...|25006|E[A-Z]+|)$/.test(codeOf(error));
