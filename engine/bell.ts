/**
 * Lets a loop sleep until something happened.
 * Promise: a ring between two sleeps is not lost.
 */
export class Bell {
  #hasRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#hasRung = true;
    this.#wake?.();
  }

  /** Resolves at the next ring (at once when it rang since the last wait), after `ms`, or when the signal aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#hasRung && !signal.aborted) {
      const woken = Promise.withResolvers<void>();
      this.#wake = woken.resolve;
      const alarm = setTimeout(woken.resolve, ms);
      signal.addEventListener('abort', this.#wake, { once: true });
      await woken.promise;
      signal.removeEventListener('abort', this.#wake);
      clearTimeout(alarm);
      this.#wake = undefined;
    }
    this.#hasRung = false;
  }
}
