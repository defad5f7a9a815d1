/**
 * One key's transactions, in the order of their nonces: signed, on record, then sent.
 * Promise: bytes leave only after the log has them; another meter with the same key costs a second try and nothing else.
 */
import { randomUUID } from 'node:crypto';
import type { Engine, Outcome } from '@tallystick/engine';
import type { Chain, ChainCall, RoleSigner, SignedTransaction, SigningTerms } from '@tallystick/engine/adapters/chain';
import type { JsonObject } from '@tallystick/kernel';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { findNextNonce, IN_FLIGHT_MAX, type NextNonce } from './nonces.ts';

/** So often a nonce may be lost to somebody else before the transaction waits for the next look. */
const TRIES_MAX = 32;

/** Called at every point at which a process may die; tests let it throw there. */
export type FaultHook = (point: string) => void;

export interface SignerLaneOptions {
  engine: Engine;
  chain: Chain;
  signer: RoleSigner;
  confirmations: number;
  fault: FaultHook;
  log: Logger;
  /** The bytes with this hash have left. */
  onSent(hash: Hex): void;
}

/** The lane chooses the nonce. */
type LaneTerms = Omit<SigningTerms, 'nonce'>;

/** `later`: nothing was signed, and trying again may help; `refused`: the stream is not to be signed any more. */
export type Carried = 'sent' | 'later' | 'refused';

const isLong = ({ nonce, taken }: NextNonce): boolean => nonce - taken >= IN_FLIGHT_MAX;

interface Begun {
  outcome: Promise<Outcome>;
  sent: Promise<void>;
  generation: number;
}

export class SignerLane {
  readonly #options: SignerLaneOptions;
  #next: NextNonce | undefined;
  /** Counts how often the next nonce was found wrong. */
  #generation = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #sending: Promise<void> = Promise.resolve();
  /** What the key has taken when its unknown nonces were told last. */
  #toldTaken = -1n;

  constructor(options: SignerLaneOptions) {
    this.#options = options;
  }

  get address(): Address {
    return this.#options.signer.address;
  }

  get signer(): RoleSigner {
    return this.#options.signer;
  }

  /** `named` goes into the command. @errors rejects with ChainFault or Fault: what was signed is on record or was never sent */
  async carry(stream: string, call: ChainCall, terms: LaneTerms, named: JsonObject = {}): Promise<Carried> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const begun = await this.#inTurn(() => this.#begin(stream, call, terms, named));
      if (!begun) return 'later';
      const rejection = await this.#rejectionOf(begun);
      if (rejection === undefined) {
        await begun.sent;
        return 'sent';
      }
      if (rejection !== 'NONCE_TAKEN') return 'refused';
    }
    return 'later';
  }

  /** In order, so that no node sees a nonce before the one that it follows. Never rejects but for an injected death. */
  send(hash: Hex, raw: Hex): Promise<void> {
    return this.#queue(async () => this.#send({ hash, raw }));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const working = this.#turn.then(work);
    this.#turn = working.catch(() => undefined);
    return working;
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const working = this.#sending.then(work);
    this.#sending = working.catch(() => undefined);
    return working;
  }

  async #begin(stream: string, call: ChainCall, terms: LaneTerms, named: JsonObject): Promise<Begun | undefined> {
    const { engine, chain, signer, fault } = this.#options;
    const nonce = await this.#nextNonce();
    if (nonce === undefined) return undefined;
    fault('nonce');
    const signed = await signer.sign(call, { ...terms, nonce });
    fault('signed');
    const body = {
      ...named,
      rail: chain.key,
      signer: signer.address,
      nonce: String(nonce),
      hash: signed.hash,
      raw: signed.raw,
      max_fee_wei: String(terms.maxFeeWei),
    };
    const key = `sign:${stream}:${randomUUID()}`; // what was refused with this nonce may be right the next time
    const outcome = engine.execute({ principal: 'platform', key, stream, type: 'SignTransaction', body });
    this.#next!.nonce = nonce + 1n;
    return { outcome, sent: this.#queue(() => this.#sendRecorded(outcome, signed)), generation: this.#generation };
  }

  /** Undefined: wait, the line is long or the key was used elsewhere. */
  async #nextNonce(): Promise<bigint | undefined> {
    const { chain } = this.#options;
    this.#next ??= await findNextNonce({
      ...this.#options,
      address: this.address,
      role: this.signer.role,
      onUnknown: (nonces) => this.#tellUnknown(nonces),
    });
    if (!this.#next) return undefined;
    if (isLong(this.#next)) {
      await this.#sending; // some of the line are not even sent yet
      this.#next.taken = await chain.transactionCount(this.address);
    }
    return isLong(this.#next) ? undefined : this.#next.nonce;
  }

  #tellUnknown({ first, taken }: { first: bigint; taken: bigint }): void {
    if (taken === this.#toldTaken) return;
    this.#toldTaken = taken;
    const told = { signer: this.address, first: String(first), taken: String(taken) };
    const what =
      'the treasury’s key was used and the log does not know by whom: nothing is paid out until all money is found there';
    this.#options.log.error(told, what);
  }

  async #rejectionOf({ outcome, sent, generation }: Begun): Promise<string | undefined> {
    try {
      const { rejection } = await outcome;
      if (rejection !== undefined) this.#forgetNext(generation);
      return rejection;
    } catch (fault) {
      this.#forgetNext(generation);
      await sent.catch(() => undefined);
      throw fault;
    }
  }

  /** What was signed after it by the same count is refused, too, and must not make a newer count forgotten. */
  #forgetNext(generation: number): void {
    if (generation !== this.#generation) return;
    this.#generation += 1;
    this.#next = undefined;
  }

  async #sendRecorded(outcome: Promise<Outcome>, signed: SignedTransaction): Promise<void> {
    const isRecorded = await outcome.then(
      ({ rejection }) => rejection === undefined,
      () => false, // it may be on record all the same: the next look finds it and sends it
    );
    if (isRecorded) await this.#send(signed);
  }

  async #send({ hash, raw }: SignedTransaction): Promise<void> {
    const { chain, fault, onSent } = this.#options;
    fault('recorded');
    await chain.send(raw);
    onSent(hash);
    fault('sent');
  }
}
