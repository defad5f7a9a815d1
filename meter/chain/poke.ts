/**
 * Wakes a loop that waits for its next round.
 * Promise: a poke while nobody waits is remembered; waiting never outlasts its time or its signal.
 */
import { pause } from '../reports.ts';

export class Poke {
  #wake = Promise.withResolvers<void>();

  poke(): void {
    this.#wake.resolve();
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const end = (): void => timer.abort();
    signal.addEventListener('abort', end, { once: true });
    if (!signal.aborted) await Promise.race([this.#wake.promise, pause(ms, timer.signal)]);
    signal.removeEventListener('abort', end);
    end();
    this.#wake = Promise.withResolvers<void>();
  }
}
