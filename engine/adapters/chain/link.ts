/**
 * A chain that may be away when the program starts.
 * Promise: opened once, when it first answers; a chain that is not what the settings say is never handed out, and ends the program:
 * at its start, or as soon as the chain answers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SettingError } from '../../program/index.ts';
import { type Chain, type ChainConfig, openChain } from './chain.ts';
import { ChainFault } from './endpoints.ts';

const ASK_EVERY_MS = 2_000;

export class ChainLink {
  readonly config: ChainConfig;
  readonly #accept: (chain: Chain) => Promise<void>;
  readonly #refusal = Promise.withResolvers<SettingError>();
  #opening: Promise<Chain> | undefined;

  /** `accept` rejects with ChainFault `misconfigured` for a chain that is not to be handed out; with anything else it is asked again. */
  constructor(config: ChainConfig, accept: (chain: Chain) => Promise<void> = async () => undefined) {
    this.config = config;
    this.#accept = accept;
  }

  /** Resolves when the chain has answered and is not what the settings say: the program must end with this. Else never. */
  get refused(): Promise<SettingError> {
    return this.#refusal.promise;
  }

  /** @errors rejects with ChainFault; `misconfigured` every time from then on, others may pass */
  async chain(): Promise<Chain> {
    const opening = this.#opening ?? this.#open();
    this.#opening = opening;
    try {
      return await opening;
    } catch (fault) {
      if (isMisconfigured(fault)) this.#refusal.resolve(new SettingError(fault.message, { cause: fault }));
      else if (this.#opening === opening) this.#opening = undefined;
      throw fault;
    }
  }

  async #open(): Promise<Chain> {
    const chain = await openChain(this.config);
    await this.#accept(chain);
    return chain;
  }

  /** @errors rejects with SettingError, and only when the chain answers and is another one than the settings say */
  async check(): Promise<void> {
    const fault: unknown = await this.chain().then(
      () => undefined,
      (found: unknown) => found,
    );
    if (isMisconfigured(fault)) throw await this.refused;
  }

  /** Asks until it is open or refused, or the signal aborts: a chain that was away at the start may not be asked for by anybody else. */
  async open(signal: AbortSignal, everyMs = ASK_EVERY_MS): Promise<void> {
    while (!signal.aborted) {
      const isSettled = await this.chain().then(() => true, isMisconfigured);
      if (isSettled) return;
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

const isMisconfigured = (fault: unknown): fault is ChainFault =>
  fault instanceof ChainFault && fault.kind === 'misconfigured';
