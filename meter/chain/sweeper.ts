/**
 * Plans batches of deposit addresses to be gathered into the treasury.
 * Promise: an address is swept when it holds enough to be worth its gas, or when payouts wait for it; one batch at a time.
 */
import { randomUUID } from 'node:crypto';
import { type Engine, listStreams, readBalances } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import { chainAccount } from '@tallystick/kernel';
import { SWEEP_ADDRESSES_MAX, type SweepState, sweepStream } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { Addresses, FundedAddresses } from './addresses.ts';
import { shortMicros } from './liquidity.ts';

/** After one that failed. */
const PAUSE_MS = 600_000;
/** After one that was dropped before it cost anything. */
const DROPPED_PAUSE_MS = 60_000;

export interface SweeperOptions {
  engine: Engine;
  chain: Chain;
  /** An address that holds less is left alone. */
  minMicros: bigint;
  log: Logger;
  nowMs?: () => number;
}

interface Holding {
  address: Address;
  micros: bigint;
}

export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #addresses: Addresses;
  readonly #funded: FundedAddresses;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #lastFailed = '';

  constructor(options: SweeperOptions) {
    this.#options = options;
    this.#addresses = new Addresses(options.chain.key);
    this.#funded = new FundedAddresses(options.chain.key);
  }

  /** Plans the next batch, when the last one is over and there is enough. @errors rejects with ChainFault or Fault */
  async look(): Promise<void> {
    const { engine, chain, minMicros, log } = this.#options;
    const last = await this.#last();
    if (last?.status === 'planned' || last?.status === 'signed' || this.#isPausing(last)) return;
    const leastMicros = (await shortMicros(engine, chain)) > 0n ? 1n : minMicros;
    if ((await this.#ledgerMicros()) < leastMicros) return;
    await this.#addresses.refresh(engine);
    const enough = (await this.#holdings()).filter(({ micros }) => micros >= leastMicros);
    const largest = await this.#sweepable(enough.sort((a, b) => (a.micros < b.micros ? 1 : -1)));
    if (largest.length === 0) return;
    const number = String(BigInt(last?.number ?? '0') + 1n);
    const stream = sweepStream(chain.key, number);
    const { rejection } = await engine.execute({
      principal: 'platform',
      key: `plan:${stream}:${randomUUID()}`,
      stream,
      type: 'PlanSweep',
      body: {
        rail: chain.key,
        number,
        addresses: largest.map(({ address }) => address),
        salts: largest.map(({ address }) => this.#saltOf(address)),
        micros: String(largest.reduce((sum, { micros }) => sum + micros, 0n)),
      },
    });
    if (rejection === undefined) log.info({ sweep: stream, addresses: largest.length }, 'a sweep is planned');
  }

  #saltOf(address: Address): Hex {
    return this.#options.chain.saltOf(this.#addresses.principalOf(address)!);
  }

  /** The first that the contract lets go: one that it does not would hold up all others of its batch. */
  async #sweepable(holdings: readonly Holding[]): Promise<Holding[]> {
    const { chain, log } = this.#options;
    const anybody = chain.config.treasury; // whoever asks, the contract says the same
    const found: Holding[] = [];
    for (let at = 0; at < holdings.length && found.length < SWEEP_ADDRESSES_MAX; at += SWEEP_ADDRESSES_MAX) {
      const part = holdings.slice(at, at + SWEEP_ADDRESSES_MAX);
      const gas = await Promise.all(
        part.map(({ address }) => chain.gasOf({ kind: 'sweep', salts: [this.#saltOf(address)] }, anybody)),
      );
      const stuck = part.filter((_, i) => typeof gas[i] === 'string');
      if (stuck.length > 0) log.warn({ addresses: stuck.map(({ address }) => address) }, 'what cannot be swept stays');
      found.push(...part.filter((_, i) => typeof gas[i] === 'bigint'));
    }
    return found.slice(0, SWEEP_ADDRESSES_MAX);
  }

  async #last(): Promise<SweepState | undefined> {
    const { engine, chain } = this.#options;
    const [row] = await listStreams(engine, { kind: 'sweep', limit: 1, filter: { rail: chain.key } });
    return row?.state as unknown as SweepState | undefined;
  }

  /** What failed once fails again mostly, and each time costs gas. */
  #isPausing(last: SweepState | undefined): boolean {
    const nowMs = (this.#options.nowMs ?? (() => performance.now()))();
    if (last?.status === 'failed' && last.number !== this.#lastFailed) {
      const isDropped = last.broadcast.phase === 'none';
      this.#options.log.error({ sweep: last.number, tx: last.broadcast.hash }, 'a sweep failed; the next one waits');
      [this.#lastFailed, this.#notBeforeMs] = [last.number, nowMs + (isDropped ? DROPPED_PAUSE_MS : PAUSE_MS)];
    }
    return nowMs < this.#notBeforeMs;
  }

  /** Of all deposit addresses, as far as it is credited. */
  async #ledgerMicros(): Promise<bigint> {
    const { engine, chain } = this.#options;
    const [row] = await readBalances(engine, [chainAccount(chain.key, 'forwarders')]);
    return row ? row.debitsPostedMicros - row.creditsPostedMicros : 0n;
  }

  async #holdings(): Promise<Holding[]> {
    const { engine, chain } = this.#options;
    const funded = [...(await this.#funded.read(engine))];
    const micros = await chain.balancesOf(funded);
    return funded.map((address, i) => ({ address, micros: micros[i]! }));
  }
}
