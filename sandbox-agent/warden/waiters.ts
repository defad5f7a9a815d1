/**
 * Long polls: whoever waits is woken by the next change, or by its own time limit.
 * Promise: nobody waits longer than it asked for, and never longer than WAIT_MS_MAX.
 */

export const WAIT_MS_MAX = 60_000;
export const WAITERS_MAX = 1_000;

export class Waiters {
  readonly #waiting = new Set<() => void>();

  wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  /** Returns at once when `isSo`, else looks again after every change until `waitMs` have passed. */
  async until(isSo: () => boolean, waitMs: number): Promise<void> {
    const giveUpAtMs = performance.now() + Math.min(waitMs, WAIT_MS_MAX);
    while (!isSo()) {
      const leftMs = giveUpAtMs - performance.now();
      if (leftMs <= 0 || this.#waiting.size >= WAITERS_MAX) return;
      await this.#next(leftMs);
    }
  }

  #next(leftMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => done(), leftMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
    });
  }
}
