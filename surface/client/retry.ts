/**
 * Repeats a request that may succeed the next time.
 * Promise: a bounded number of attempts, and every attempt of one call carries the same Idempotency-Key.
 */
import { ApiError } from './api-error.ts';

export const ATTEMPTS_MAX = 6;
export const WAIT_MS_MIN = 100;
export const WAIT_MS_MAX = 5_000;
/** A told wait beyond this is the caller's to decide about. */
const TOLD_WAIT_MS_MAX = 30_000;

/** What is about to be repeated. */
export interface Retry {
  /** The attempt that failed, from 1. */
  attempt: number;
  waitMs: number;
  cause: unknown;
}

export interface RetryOptions {
  /** 1 switches repeating off. */
  attemptsMax?: number | undefined;
  onRetry?: ((retry: Retry) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** How long to wait before the next attempt; undefined when repeating cannot help. */
function waitMsFor(fault: unknown, attempt: number): number | undefined {
  const grown = Math.min(WAIT_MS_MIN * 2 ** (attempt - 1), WAIT_MS_MAX);
  const jittered = grown * (0.5 + Math.random() / 2);
  if (!(fault instanceof ApiError)) return fault instanceof TypeError ? jittered : undefined;
  // a payment on its way is waited for elsewhere, and longer
  if ((fault.status !== 429 && fault.status !== 503) || fault.code === 'payment_settling') return undefined;
  const told = fault.retryAfterMs;
  if (told === undefined) return fault.status === 503 ? jittered : undefined;
  return told > TOLD_WAIT_MS_MAX ? undefined : Math.max(told, jittered);
}

/** Resolves after `ms`; rejects when the signal aborts. */
export const pauseMs = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });

/**
 * Runs `attempt` until it succeeds.
 * @errors throws what the last attempt threw. Fetch reports a broken network as TypeError; other exceptions are not repeated.
 */
export async function withRetries<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const attemptsMax = options.attemptsMax ?? ATTEMPTS_MAX;
  for (let count = 1; ; count++) {
    try {
      return await attempt();
    } catch (cause) {
      const waitMs = waitMsFor(cause, count);
      if (count >= attemptsMax || waitMs === undefined || options.signal?.aborted) throw cause;
      options.onRetry?.({ attempt: count, waitMs, cause });
      await pauseMs(waitMs, options.signal);
    }
  }
}
