/**
 * What a watcher saw, as commands.
 * Promise: every command has a key made of the chain's own names, so seeing the same again changes nothing; what did not get
 * where it should is a Fault, and the watcher does not go on.
 */
import { type Engine, Fault, listStreams, PAGE_MAX, readStream } from '@tallystick/engine';
import type { BlockRef, Chain, TransferSeen } from '@tallystick/engine/adapters/chain';
import { SAFE_MICROS_MAX, SUSPENSE } from '@tallystick/kernel';
import {
  type AuthorizationState,
  authorizationStream,
  type DepositState,
  depositIdOf,
  depositStream,
  railStream,
  signerStream,
} from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Addresses } from './addresses.ts';
import { type DepositCommands, type Known, SETTLED } from './deposit-commands.ts';
import type { LostDeposits } from './lost-deposits.ts';
import { markOf } from './marks.ts';
import { openRail } from './rail.ts';

/** Whose a deposit is, or at which place, may change between looking and deciding; not so often in one look. */
const TRIES_MAX = 4;

export interface DepositBookOptions {
  engine: Engine;
  chain: Chain;
  addresses: Addresses;
  commands: DepositCommands;
  lost: LostDeposits;
  /** A payer is looked for among principals of these chains. */
  chainIds: readonly number[];
  log: Logger;
}

export class DepositBook {
  readonly #options: DepositBookOptions;

  constructor(options: DepositBookOptions) {
    this.#options = options;
  }

  /** @errors this and all others reject with Fault when a command was not even looked at */
  async open(): Promise<void> {
    await openRail(this.#options.commands, this.#options.chain);
    await this.#options.commands.ask(`account:${SUSPENSE}`, 'OpenAccount', 'open', {});
  }

  /** Not deep enough yet: shown as pending. False when it is nobody's deposit. */
  async see(transfer: TransferSeen): Promise<boolean> {
    if (this.#isOurOwn(transfer) || !this.#isPossible(transfer) || (await this.#isMadeGood(transfer))) return false;
    const { chain } = this.#options;
    const id = depositIdOf(chain.key, transfer);
    const known = await this.#options.commands.find(id);
    const isNews =
      !SETTLED.includes(known.status) && !(known.status === 'seen' && known.block_hash === transfer.block.hash);
    if (!isNews) return true;
    const { authorization, payer } = transfer;
    const principal = await this.#principalOf(transfer);
    const place = `${transfer.block.hash}:${known.version}`;
    // whose authorization it is may become known between looking and deciding: then it is another question the next time
    const key = authorization === undefined ? place : `${place}:${principal}`;
    await this.#options.commands.ask(depositStream(id), 'SeeDeposit', key, {
      rail: chain.key,
      tx: transfer.tx,
      ordinal: String(transfer.ordinal),
      block: String(transfer.block.number),
      block_hash: transfer.block.hash,
      payer,
      payee: transfer.payee,
      amount_micros: String(transfer.micros),
      principal,
      ...(authorization === undefined ? {} : { authorization: authorization.toLowerCase() }),
    });
    return true;
  }

  /** Deep enough: it is somebody's money from here on. @errors rejects with Fault while it is not */
  async mature(transfer: TransferSeen): Promise<void> {
    if (!this.#isPossible(transfer)) return;
    if (this.#isOurOwn(transfer)) return this.#sweep(transfer);
    const id = depositIdOf(this.#options.chain.key, transfer);
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (!(await this.see(transfer))) return;
      const known = await this.#options.commands.find(id);
      if (SETTLED.includes(known.status)) return;
      if (known.status === 'seen' && (await this.#settle(known))) return;
    }
    throw new Fault(`the deposit ${id} in block ${transfer.block.number} is not credited yet`);
  }

  /** `rewinds`: how often somebody sent the watchers back; the same blocks are recorded anew after each. */
  async recordScan(scanned: BlockRef, anchor: BlockRef, rewinds: number): Promise<void> {
    const body = { scanned: markOf(scanned), anchor: markOf(anchor), ...(rewinds > 0 ? { rewinds } : {}) };
    const key = `scan:${rewinds > 0 ? `${rewinds}:` : ''}${scanned.number}:${scanned.hash}`;
    const { rejection } = await this.#options.commands.ask(this.#rail, 'RecordScan', key, body);
    if (rejection !== undefined) throw new Fault(`block ${scanned.number} could not be recorded: ${rejection}`);
  }

  get #rail(): string {
    return railStream(this.#options.chain.key);
  }

  /** False when it has changed meanwhile: then it is looked at again. */
  async #settle(known: Known): Promise<boolean> {
    const { id, version, is_paid_out } = known;
    if (is_paid_out) {
      const { rejection } = await this.#options.commands.ask(depositStream(id), 'RestoreDeposit', String(version), {});
      return rejection === undefined;
    }
    const rejection = await this.#credit(known);
    if (rejection === undefined || rejection === 'ALREADY_EXISTS') return true;
    if (rejection === 'PAYMENT_CREDITED') return this.#adopt(known);
    if ((await this.#options.commands.find(id)).version !== version) return false;
    this.#options.log.error({ deposit: id, rejection }, 'a deposit could not be credited');
    return true;
  }

  async #credit({ id, principal, amount_micros, tx, ordinal, rail, version, quote_id, payer, authorization }: Known) {
    const quoted = quote_id === undefined ? {} : { quote_id };
    const paid = authorization === undefined ? {} : { payment: { payer, nonce: authorization } };
    const body = { deposit_id: id, amount_micros, source: rail, reference: `${tx}#${ordinal}`, ...quoted, ...paid };
    const { rejection } = await this.#options.commands.ask(
      `account:${principal}`,
      'CreditDeposit',
      `${id}:${version}`,
      body,
    );
    return rejection;
  }

  /** Its authorization was credited in a transaction that the chain has forgotten since. False when it is to be looked at again. */
  async #adopt({ id, version, payer, authorization }: Known): Promise<boolean> {
    const first = await this.#creditedFor({ payer, authorization: authorization! });
    if (first) await this.#options.lost.loseMissing([first]);
    const body = { paid_as: first?.id ?? '' };
    const { rejection } = await this.#options.commands.ask(
      depositStream(id),
      'AdoptDeposit',
      `${body.paid_as}:${version}`,
      body,
    );
    if (rejection === undefined) return true;
    if ((await this.#options.commands.find(id)).version !== version) return false;
    this.#options.log.error({ deposit: id, first: body.paid_as, rejection }, 'a payment stands on the chain twice');
    return true;
  }

  async #creditedFor(payment: { payer: string; authorization: string }): Promise<DepositState | undefined> {
    const { engine, chain } = this.#options;
    const filter = { rail: chain.key, ...payment, is_paid_out: true };
    const rows = await listStreams(engine, { kind: 'deposit', limit: PAGE_MAX, filter });
    return rows.map(({ state }) => state as unknown as DepositState).find(({ paid_as }) => paid_as === undefined);
  }

  async #sweep(transfer: TransferSeen): Promise<void> {
    const id = depositIdOf(this.#options.chain.key, transfer);
    const body = { deposit_id: id, amount_micros: String(transfer.micros), tx: transfer.tx };
    await this.#options.commands.ask(this.#rail, 'RecordSweep', `sweep:${id}`, body);
  }

  /** From one of our addresses to another. */
  #isOurOwn({ payer, payee }: TransferSeen): boolean {
    return this.#options.addresses.principalOf(payer) !== undefined && payee === this.#treasury;
  }

  /** From a key of ours to the treasury: nobody's deposit. It replaces what is missing there. */
  async #isMadeGood({ payer, payee }: TransferSeen): Promise<boolean> {
    if (payee !== this.#treasury) return false;
    const { engine, chain } = this.#options;
    return (await readStream(engine, signerStream(chain.key, payer)))?.state['status'] === 'open';
  }

  get #treasury(): string {
    return this.#options.chain.config.treasury.toLowerCase();
  }

  #isPossible({ micros, tx }: TransferSeen): boolean {
    if (micros <= SAFE_MICROS_MAX) return true;
    this.#options.log.error({ tx, micros: String(micros) }, 'a transfer is larger than any amount of the ledger');
    return false;
  }

  /** An address of ours says whose it is; at the treasury the authorization, when a quote has it; else the payer. */
  async #principalOf({ payer, payee, authorization }: TransferSeen): Promise<string> {
    const { engine, addresses, chainIds } = this.#options;
    const assigned = addresses.principalOf(payee) ?? (await this.#quotedPrincipal(payer, authorization));
    if (assigned !== undefined) return assigned;
    for (const chainId of chainIds) {
      const principal = `eip155:${chainId}:${payer}`;
      if ((await readStream(engine, `account:${principal}`))?.state['is_open'] === true) return principal;
    }
    return SUSPENSE;
  }

  async #quotedPrincipal(payer: string, nonce: string | undefined): Promise<string | undefined> {
    if (nonce === undefined) return undefined;
    const stream = authorizationStream(this.#options.chain.key, payer, nonce.toLowerCase());
    const found = await readStream(this.#options.engine, stream);
    return (found?.state as unknown as AuthorizationState | undefined)?.principal || undefined;
  }
}
