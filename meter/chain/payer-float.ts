/**
 * Whether a payer holds what its payments are to move.
 * Promise: payments of one payer that are signed never come to more than it held when the last of them was: gas is not spent on what
 * the token must undo.
 */
import { type Engine, PAGE_MAX, streamsOfStatus } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import { type Payment, type QuoteState, quoteStream } from '@tallystick/treasury';
import type { Address, Hex } from 'viem';

export interface PayerFloatOptions {
  engine: Engine;
  chain: Chain;
}

/** A payment that may be mined at any time. */
type Promised = Pick<Payment, 'from' | 'nonce' | 'value'>;

interface Claim {
  stream: string;
  payment: Promised;
  isOver: boolean;
}

export class PayerFloat {
  readonly #options: PayerFloatOptions;
  /** Of this process, by payer: from the promise on until the ledger was asked after its end. */
  readonly #claims = new Map<string, Claim[]>();
  /** One payment of a payer is weighed after another. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: PayerFloatOptions) {
    this.#options = options;
  }

  /** False when its payer has less left. @errors rejects with ChainFault or Fault */
  async promise(stream: string, payment: Promised): Promise<boolean> {
    const { from } = payment;
    const turn = (this.#turns.get(from) ?? Promise.resolve()).then(() => this.#weigh(stream, payment));
    const settled = turn.catch(() => undefined);
    this.#turns.set(from, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(from) === settled) this.#turns.delete(from);
    }
  }

  /** It is signed, or nothing came of it. */
  over(stream: string): void {
    for (const claims of this.#claims.values()) for (const one of claims) if (one.stream === stream) one.isOver = true;
  }

  async #weigh(stream: string, payment: Promised): Promise<boolean> {
    const claims = this.#forgetOver(payment.from); // before the ledger is asked, which knows what became of them
    const signed = await this.#signed(payment.from);
    for (const one of claims) signed.set(one.stream, one.payment);
    signed.delete(stream);
    if (!(await this.#isCovered(payment, [...signed.values()]))) return false;
    this.#claims.set(payment.from, [...claims, { stream, payment, isOver: false }]);
    return true;
  }

  #forgetOver(from: string): Claim[] {
    const left = (this.#claims.get(from) ?? []).filter(({ isOver }) => !isOver);
    if (left.length > 0) this.#claims.set(from, left);
    else this.#claims.delete(from);
    return left;
  }

  /** As of one block, so that what is mined meanwhile is counted as promised or as gone, and not as neither. */
  async #isCovered({ from, value }: Promised, others: readonly Promised[]): Promise<boolean> {
    const { chain } = this.#options;
    const { number } = await chain.head();
    const held = await chain.balanceOf(from as Address, number);
    let needed = BigInt(value) + others.reduce((sum, one) => sum + BigInt(one.value), 0n);
    for (const one of others) {
      if (needed <= held) return true;
      const isTaken = await chain.authorizationState(from as Address, one.nonce as Hex, number);
      if (isTaken) needed -= BigInt(one.value);
    }
    return needed <= held;
  }

  async #signed(from: string): Promise<Map<string, Promised>> {
    const { engine, chain } = this.#options;
    const found = new Map<string, Promised>();
    for (let after: number | undefined; ; ) {
      const place = after === undefined ? {} : { after };
      const page = await streamsOfStatus(engine, { kind: 'quote', status: 'signed', limit: PAGE_MAX, ...place });
      for (const { state } of page) {
        const { id, rail, payment } = state as unknown as QuoteState;
        if (rail === chain.key && payment?.from === from) found.set(quoteStream(id), payment);
      }
      after = page.at(-1)?.createdPos;
      if (page.length < PAGE_MAX || after === undefined) return found;
    }
  }
}
