/**
 * A chain that may be away when the program starts.
 * Promise: opened once, when it first answers; a chain that is not what the settings say stops the program at its start.
 */
import { type Chain, type ChainConfig, openChain } from './chain.ts';
import { ChainFault } from './endpoints.ts';

export class ChainLink {
  readonly config: ChainConfig;
  #opening: Promise<Chain> | undefined;

  constructor(config: ChainConfig) {
    this.config = config;
  }

  /** @errors rejects with ChainFault; `misconfigured` every time, others may pass */
  async chain(): Promise<Chain> {
    this.#opening ??= openChain(this.config);
    try {
      return await this.#opening;
    } catch (fault) {
      this.#opening = undefined;
      throw fault;
    }
  }

  /** @errors rejects only when the chain answers and is another one than the settings say */
  async check(): Promise<void> {
    await this.chain().catch((fault: unknown) => {
      if (fault instanceof ChainFault && fault.kind === 'misconfigured') throw fault;
    });
  }
}
