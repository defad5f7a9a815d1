/**
 * Which addresses of ours receive deposits, and for whom.
 * Promise: complete as of the moment it is refreshed; an address that was given once stays.
 */
import { type Engine, Newcomers } from '@tallystick/engine';
import type { AddressState, DepositState } from '@tallystick/treasury';
import type { Address } from 'viem';

export class Addresses {
  readonly #assigned: Newcomers;
  readonly #principals = new Map<string, string>();

  constructor(rail: string) {
    this.#assigned = new Newcomers({ kind: 'address', filter: { rail } });
  }

  get all(): Address[] {
    return [...this.#principals.keys()] as Address[];
  }

  /** Undefined when the address is none of these. */
  principalOf(address: string): string | undefined {
    return this.#principals.get(address.toLowerCase());
  }

  async refresh(engine: Engine): Promise<void> {
    for (const { state } of await this.#assigned.ask(engine)) {
      const { address, principal } = state as unknown as AddressState;
      this.#principals.set(address.toLowerCase(), principal);
    }
  }
}

/** Those of them at which something ever arrived: anybody may have as many others as they like, and there is nothing there. */
export class FundedAddresses {
  readonly #deposits: Newcomers;
  readonly #known = new Set<Address>();

  constructor(rail: string) {
    this.#deposits = new Newcomers({ kind: 'deposit', filter: { rail, door: 'forwarders' } });
  }

  /** As of now. */
  async read(engine: Engine): Promise<ReadonlySet<Address>> {
    for (const { state } of await this.#deposits.ask(engine))
      this.#known.add((state as unknown as DepositState).payee as Address);
    return this.#known;
  }
}
