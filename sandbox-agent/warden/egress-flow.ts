/**
 * Whether bytes of one sandbox may pass now: only while its time is paid and it runs, and only so many a second.
 * Promise: what may not pass waits and is not lost; the order of what waits is kept.
 */

/** Both ways together: no tenant takes the machine's wire, or the warden's time, from the others. */
export const EGRESS_BYTES_PER_S_MAX = 64 * 1024 * 1024;
const BURST_BYTES = EGRESS_BYTES_PER_S_MAX / 4;
/** How soon a flow that waits looks again; whoever thaws the sandbox wakes it at once. */
const LOOK_AGAIN_MS = 25;

interface Waiting {
  bytes: number;
  go: () => void;
}

export class EgressFlow {
  readonly #mayPass: () => boolean;
  readonly #waiting: Waiting[] = [];
  #room = BURST_BYTES;
  #filledAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `mayPass`: it runs, and until now at least it is paid. */
  constructor(mayPass: () => boolean) {
    this.#mayPass = mayPass;
  }

  /** The sandbox stands still, or has had its share for now. */
  get isHeld(): boolean {
    return this.#waiting.length > 0;
  }

  /** Calls `go` now or when the bytes may pass; never once the flow is closed. */
  pass(bytes: number, go: () => void): void {
    this.#waiting.push({ bytes, go });
    this.wake();
  }

  /** Resolves when bytes may pass. */
  opened(): Promise<void> {
    return new Promise((resolve) => this.pass(0, resolve));
  }

  wake(): void {
    clearTimeout(this.#timer);
    while (!this.#isClosed && this.#waiting.length > 0 && this.#isOpen()) {
      const { bytes, go } = this.#waiting.shift() as Waiting;
      this.#room -= bytes;
      go();
    }
    if (!this.#isClosed && this.#waiting.length > 0) this.#timer = setTimeout(() => this.wake(), LOOK_AGAIN_MS);
  }

  #isOpen(): boolean {
    const nowMs = performance.now();
    const filled = this.#room + ((nowMs - this.#filledAtMs) / 1_000) * EGRESS_BYTES_PER_S_MAX;
    this.#room = Math.min(BURST_BYTES, filled);
    this.#filledAtMs = nowMs;
    return this.#room > 0 && this.#mayPass();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
  }
}
