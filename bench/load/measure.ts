/**
 * Callers side by side for one phase, and what came of it.
 * Promise: every call that is counted was awaited; rounds of rivals are interleaved by who uses this.
 */
export interface Sample {
  perSecond: number;
  p50Ms: number;
  p95Ms: number;
}

/** Each caller calls again as soon as its call is answered, until the phase is over. */
export async function measure(callers: readonly (() => Promise<unknown>)[], phaseMs: number): Promise<Sample> {
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  await Promise.all(
    callers.map(async (call) => {
      while (performance.now() - startMs < phaseMs) {
        const beforeMs = performance.now();
        await call();
        latenciesMs.push(performance.now() - beforeMs);
      }
    }),
  );
  const elapsedMs = performance.now() - startMs;
  const sorted = latenciesMs.sort((a, b) => a - b);
  return { perSecond: (sorted.length / elapsedMs) * 1000, p50Ms: quantile(sorted, 0.5), p95Ms: quantile(sorted, 0.95) };
}

export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

export const median = (values: readonly number[]): number =>
  quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

/** A whole number from the command line, or the default. */
export function numberOption(options: Readonly<Record<string, string>>, name: string, fallback: number): number {
  const value = Number(options[name] ?? fallback);
  if (!Number.isInteger(value) || value <= 0)
    throw new RangeError(`--${name} is a positive whole number, not ${options[name]}`);
  return value;
}
