/**
 * Deposits that the chain may have forgotten.
 * Promise: none is called lost whose transaction stands somewhere else deep enough; what somebody has by then stays theirs.
 */
import type { BlockRef, Chain } from '@tallystick/engine/adapters/chain';
import { type DepositState, depositStream } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { type DepositCommands, SETTLED } from './deposit-commands.ts';

export interface LostDepositsOptions {
  chain: Chain;
  confirmations: number;
  commands: DepositCommands;
  log: Logger;
}

export class LostDeposits {
  readonly #options: LostDepositsOptions;

  constructor(options: LostDepositsOptions) {
    this.#options = options;
  }

  /** Pending ones whose block is no more. @errors this and all others reject with ChainFault or Fault */
  async loseGone(): Promise<void> {
    await this.loseMissing(await this.#options.commands.ofStatus('seen', () => true));
  }

  /** Of those credited after this block, the ones whose block is no more. */
  async loseCredited(standing: BlockRef | undefined): Promise<void> {
    const after = standing?.number ?? -1n;
    for (const status of SETTLED) {
      const isLater = ({ block }: DepositState): boolean => BigInt(block) > after;
      await this.loseMissing(
        (await this.#options.commands.ofStatus(status, (page) => page.some(isLater))).filter(isLater),
      );
    }
  }

  /** A block is asked for once, however many deposits it has. */
  async loseMissing(deposits: readonly DepositState[]): Promise<void> {
    for (const [block, there] of Map.groupBy(deposits, (one) => one.block)) {
      const hash = (await this.#options.chain.header(BigInt(block)))?.hash;
      for (const one of there) if (one.block_hash !== hash) await this.#moveOrLose(one);
    }
  }

  async #moveOrLose(deposit: DepositState): Promise<void> {
    const elsewhere = SETTLED.includes(deposit.status) ? await this.#deepElsewhere(deposit) : undefined;
    return elsewhere ? this.#move(deposit, elsewhere) : this.#lose(deposit);
  }

  /** The block in which the same transfer stands now, if it is deep enough there. */
  async #deepElsewhere({ tx, payee, payer, ordinal, amount_micros }: DepositState): Promise<BlockRef | undefined> {
    const { chain, confirmations } = this.#options;
    const head = await chain.head();
    const there = await chain.transfersIn(tx as Hex, payee as Address);
    const same = there.find(
      (one) => String(one.ordinal) === ordinal && one.payer === payer && String(one.micros) === amount_micros,
    );
    return same && head.number - same.block.number + 1n >= BigInt(confirmations) ? same.block : undefined;
  }

  async #move({ id }: DepositState, { number, hash }: BlockRef): Promise<void> {
    const { version } = await this.#options.commands.find(id);
    const body = { block: String(number), block_hash: hash };
    await this.#options.commands.ask(depositStream(id), 'MoveDeposit', `${hash}:${version}`, body);
  }

  async #lose({ id, block, block_hash }: DepositState): Promise<void> {
    this.#options.log.warn({ deposit: id, block }, 'the chain took a deposit back');
    const { version } = await this.#options.commands.find(id);
    await this.#options.commands.ask(depositStream(id), 'LoseDeposit', `${block_hash}:${version}`, { block_hash });
  }
}
