/**
 * What is typed into one command: queued, bounded, and each byte once whatever is repeated.
 * Promise: nobody waits for a command that does not read; a writer who repeats a piece adds only what is new of it.
 */
import { Fault, refused } from './fault.ts';
import type { Call } from './guest-link.ts';

/** Bytes taken from callers and not yet by the guest. */
export const STDIN_QUEUED_BYTES_MAX = 1024 * 1024;
/** Writers that count their own bytes, per command. */
export const STDIN_WRITERS_MAX = 32;

/** Where a piece stands among the bytes of its own writer; without one it is appended as it is. */
export interface StdinPlace {
  writer: string;
  at: number;
}

export class ExecInput {
  readonly #call: Call;
  /** A terminal's input has no last byte: its end is a key. */
  readonly #isTerminal: boolean;
  readonly #positions = new Map<string, number>();
  #queuedBytes = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(call: Call, isTerminal: boolean) {
    this.#call = call;
    this.#isTerminal = isTerminal;
  }

  /**
   * Returns how many bytes this writer has written in all.
   * @errors throws Fault `stdin_gap`, `stdin_closed`, `stdin_full` or `too_many_writers`; nothing is taken then
   */
  take(bytes: Buffer, isLast: boolean, place: StdinPlace | undefined): number {
    const position = this.#positions.get(place?.writer ?? '') ?? 0;
    const at = place?.at ?? position;
    if (at > position) {
      const facts = { position, asked: at };
      throw new Fault('conflict', 'stdin_gap', `bytes ${position} to ${at} of this writer are missing`, facts);
    }
    const fresh = bytes.subarray(Math.min(position - at, bytes.length));
    if (fresh.length > 0) this.#admit(fresh, place?.writer);
    this.#positions.set(place?.writer ?? '', position + fresh.length);
    if (fresh.length > 0) this.#queue(fresh);
    if (isLast && !this.#isClosed) this.#close();
    return position + fresh.length;
  }

  #admit(fresh: Buffer, writer = ''): void {
    if (this.#isClosed) throw refused('stdin_closed', 'standard input was closed');
    const available = STDIN_QUEUED_BYTES_MAX - this.#queuedBytes;
    if (fresh.length > available) {
      const facts = { cap: STDIN_QUEUED_BYTES_MAX, asked: fresh.length, available };
      throw new Fault('busy', 'stdin_full', 'the command does not read as fast as this', facts);
    }
    if (!this.#positions.has(writer) && this.#positions.size >= STDIN_WRITERS_MAX) {
      const facts = { cap: STDIN_WRITERS_MAX, asked: 1, available: 0 };
      throw new Fault('busy', 'too_many_writers', `at most ${STDIN_WRITERS_MAX} writers of one command`, facts);
    }
  }

  #queue(bytes: Buffer): void {
    this.#queuedBytes += bytes.length;
    this.#tail = this.#tail
      .then(() => this.#call.write(bytes))
      .then(() => {
        this.#queuedBytes -= bytes.length;
      });
  }

  #close(): void {
    this.#isClosed = !this.#isTerminal;
    this.#tail = this.#tail.then(() => this.#call.end());
  }
}
