/**
 * Which addresses of ours receive deposits, and for whom.
 * Promise: complete as of the moment it is refreshed; an address that was given once stays.
 */
import { type Engine, PAGE_MAX, streamsOfStatus } from '@tallystick/engine';
import type { AddressState } from '@tallystick/treasury';
import type { Address } from 'viem';

export class Addresses {
  readonly #rail: string;
  readonly #principals = new Map<string, string>();
  /** Everything assigned before this place of the log is known. */
  #knownPos = -1;

  constructor(rail: string) {
    this.#rail = rail;
  }

  get all(): Address[] {
    return [...this.#principals.keys()] as Address[];
  }

  /** Undefined when the address is none of these. */
  principalOf(address: string): string | undefined {
    return this.#principals.get(address.toLowerCase());
  }

  /** Newest first, down to what is known. */
  async refresh(engine: Engine): Promise<void> {
    let newestPos = this.#knownPos;
    for (let after: number | undefined; ; ) {
      const page = await streamsOfStatus(engine, {
        kind: 'address',
        status: 'assigned',
        limit: PAGE_MAX,
        ...(after === undefined ? {} : { after }),
      });
      const fresh = page.filter(({ createdPos }) => createdPos! > this.#knownPos);
      for (const { state, createdPos } of fresh) {
        this.#add(state as unknown as AddressState);
        newestPos = Math.max(newestPos, createdPos!);
      }
      after = page.at(-1)?.createdPos;
      if (fresh.length < PAGE_MAX || after === undefined) break;
    }
    this.#knownPos = newestPos;
  }

  #add({ rail, address, principal }: AddressState): void {
    if (rail === this.#rail) this.#principals.set(address.toLowerCase(), principal);
  }
}
