/**
 * Follows signed transactions until the chain has decided: sent again, replaced by dearer ones, concluded.
 * Promise: what endpoints say to bytes decides nothing; a transaction that the chain forgot is sent again until it is final anew; what
 * a key signed that is not ours any more has an end, too.
 */
import { randomUUID } from 'node:crypto';
import { type Engine, PAGE_MAX, type StreamRow, streamsOfStatus } from '@tallystick/engine';
import { type BlockRef, bumpedFees, type Chain, termsOf } from '@tallystick/engine/adapters/chain';
import type { JsonObject } from '@tallystick/kernel';
import { ATTEMPTS_MAX, type Attempt, type Broadcast } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { type ChainView, type Fate, fateOf } from './fate.ts';
import { REORG_BLOCKS_MAX } from './marks.ts';
import { OUTGOING, type OutgoingState, outgoingKindOf } from './outgoing.ts';
import type { FaultHook, SignerLane } from './signer-lane.ts';

/** Newest final ones of each kind that are looked at after the chain has changed. */
const RECENT_MAX = 200;
/** Status of every kind while a transaction of it may be mined at any time. */
const SIGNED = 'signed';

export interface FollowerOptions {
  engine: Engine;
  chain: Chain;
  lanes: readonly SignerLane[];
  confirmations: number;
  resendMs: number;
  bumpMs: number;
  onNews: () => void;
  log: Logger;
  fault: FaultHook;
  nowMs: () => number;
}

interface Followed {
  stream: string;
  version: number;
  state: OutgoingState;
  /** Undefined when the key is not of this process: what it signed can be sent and concluded, but not made dearer. */
  lane: SignerLane | undefined;
}

const signerOf = ({ state }: Followed): string => state.broadcast.signer;

export class Follower {
  readonly #options: FollowerOptions;
  /** When bytes last left this process, by their hash. */
  #sentAtMs = new Map<string, number>();
  /** When the attempt that all others wait for was first seen in no block, by its hash; and gaps before a stream. */
  #unminedSinceMs = new Map<string, number>();
  /** Streams whose trouble was told. */
  #complained = new Set<string>();
  #lastHead: BlockRef | undefined;
  /** Until the chain is so long, final ones are looked at again. */
  #unrestUntil = -1n;
  /** When they were looked at last. A process that begins does not know what was before, so it looks. */
  #recheckedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** These bytes have left. */
  sent(hash: Hex): void {
    this.#sentAtMs.set(hash, this.#options.nowMs());
  }

  /** How many transactions are followed. @errors rejects with ChainFault or Fault */
  async look(): Promise<number> {
    const { chain, confirmations } = this.#options;
    const head = await chain.head();
    await this.#noticeUnrest(head);
    const signed = await this.#signed();
    for (const signer of new Set(signed.map(signerOf))) {
      const ofKey = signed.filter((one) => signerOf(one) === signer);
      await this.#followAll(signer, ofKey, head.number, head.number - BigInt(confirmations) + 1n);
    }
    if (this.#isUnrest(head.number)) await this.#resendForgotten(head.number);
    this.#forgetConcluded(signed);
    return signed.length;
  }

  #isUnrest(newest: bigint): boolean {
    const { nowMs, resendMs } = this.#options;
    const isFirst = this.#recheckedAtMs === Number.NEGATIVE_INFINITY;
    return isFirst || (newest <= this.#unrestUntil && nowMs() - this.#recheckedAtMs >= resendMs);
  }

  async #noticeUnrest(head: BlockRef): Promise<void> {
    const { chain } = this.#options;
    const last = this.#lastHead;
    const isCalm = last === undefined || (await chain.header(last.number))?.hash === last.hash;
    if (!isCalm) this.#unrestUntil = head.number + REORG_BLOCKS_MAX;
    this.#lastHead = head;
  }

  /** Of all kinds, in the order of their nonces. */
  async #signed(): Promise<Followed[]> {
    const found: Followed[] = [];
    for (const kind of Object.keys(OUTGOING))
      for (const row of await this.#rowsOf(kind, SIGNED)) {
        const state = row.state as OutgoingState;
        if (state.broadcast.phase === 'signed') found.push({ ...row, state, lane: this.#laneOf(state.broadcast) });
      }
    return found.sort((a, b) => Number(BigInt(a.state.broadcast.nonce) - BigInt(b.state.broadcast.nonce)));
  }

  #laneOf({ signer }: Broadcast): SignerLane | undefined {
    return this.#options.lanes.find(({ address }) => address === signer);
  }

  /** By the key's own line, where there is one. */
  async #send(lane: SignerLane | undefined, { hash, raw }: Attempt): Promise<void> {
    if (lane) return lane.send(hash as Hex, raw as Hex);
    await this.#options.chain.send(raw as Hex);
    this.sent(hash as Hex);
  }

  async #rowsOf(kind: string, status: string, max = Number.POSITIVE_INFINITY): Promise<StreamRow[]> {
    const { engine, chain } = this.#options;
    const found: StreamRow[] = [];
    for (let after: number | undefined; ; ) {
      const from = after === undefined ? {} : { after };
      const page = await streamsOfStatus(engine, { kind, status, limit: Math.min(PAGE_MAX, max), ...from });
      found.push(...page.filter(({ state }) => state['rail'] === chain.key));
      after = page.at(-1)?.createdPos;
      if (page.length < PAGE_MAX || after === undefined || found.length >= max) return found;
    }
  }

  async #followAll(signer: string, signed: readonly Followed[], newest: bigint, finalBlock: bigint): Promise<void> {
    const { chain, log } = this.#options;
    const address = signer as Address;
    const view: ChainView = {
      newest,
      finalBlock,
      taken: await chain.transactionCount(address, newest),
      takenFinally: finalBlock < 0n ? 0n : await chain.transactionCount(address, finalBlock),
    };
    const fates = await Promise.allSettled(signed.map(({ state }) => fateOf(chain, state.broadcast, view)));
    for (const [i, fate] of fates.entries())
      if (fate.status === 'rejected')
        log.warn({ stream: signed[i]!.stream, fault: String(fate.reason) }, 'a transaction’s fate is not known yet');
    const known = fates.map((fate) => (fate.status === 'fulfilled' ? fate.value : undefined));
    await Promise.all(signed.map((one, i) => known[i] && this.#act(one, known[i])));
    if (known[0]?.is === 'unmined') this.#noticeGap(signed[0]!, view.taken);
    for (const [i, one] of signed.entries()) if (known[i]?.is === 'unmined') await this.#press(one, view.taken);
  }

  async #act(one: Followed, fate: Fate): Promise<void> {
    const { log, onNews } = this.#options;
    const { stream, state } = one;
    if (fate.is === 'lost') {
      const { nonce } = state.broadcast;
      this.#complain({ stream, nonce }, 'the nonce is used up and no receipt is to be had: look at the chain');
    }
    if (fate.is === 'displaced') {
      log.error({ stream, by: fate.by }, 'another transaction took the nonce');
      const known = { by: fate.by, attempts: state.broadcast.attempts.length };
      await this.#conclude(one, { hash: '', succeeded: false, block: '', block_hash: '', ...known });
    }
    if (fate.is !== 'over') return;
    const { block, succeeded } = fate.mined;
    const place = { block: String(block.number), block_hash: block.hash };
    await this.#conclude(one, { hash: fate.hash, succeeded, ...place });
    onNews();
  }

  /** Once for each transaction, not at every look. */
  #complain(about: { stream: string } & JsonObject, what: string): void {
    if (this.#complained.has(about.stream)) return;
    this.#complained.add(about.stream);
    this.#options.log.error(about, what);
  }

  async #conclude({ stream, version }: Followed, body: JsonObject): Promise<void> {
    const { engine, fault } = this.#options;
    fault('decided');
    const seen = [body['hash'], body['block_hash'], body['by'] ?? ''].map(String);
    const key = `conclude:${stream}:${version}:${seen.join(':')}`;
    await engine.execute({ principal: 'platform', key, stream, type: 'ConcludeTransaction', body });
    fault('concluded');
  }

  /** After a reorganisation that took back what had failed, or what somebody else had sent: nothing of ours can fill it. */
  #noticeGap({ stream, state }: Followed, taken: bigint): void {
    const { nonce } = state.broadcast;
    if (BigInt(nonce) > taken && this.#unminedMs(`before ${stream}`) >= this.#options.bumpMs)
      this.#complain({ stream, nonce, missing: String(taken) }, 'the chain waits for a nonce that nothing of ours has');
  }

  /** How long it has been so, as far as this process has seen. */
  #unminedMs(what: string): number {
    const { nowMs } = this.#options;
    const sinceMs = this.#unminedSinceMs.get(what) ?? nowMs();
    this.#unminedSinceMs.set(what, sinceMs);
    return nowMs() - sinceMs;
  }

  /** In no block: sent again, and dearer when it is the one that all others of its key wait for. */
  async #press(one: Followed, taken: bigint): Promise<void> {
    const { nowMs, resendMs, bumpMs } = this.#options;
    const { lane, state } = one;
    const { attempts, nonce } = state.broadcast;
    const newest = attempts.at(-1)!;
    const isDue = BigInt(nonce) === taken && this.#unminedMs(newest.hash) >= bumpMs;
    if (isDue && (await this.#replace(one))) return;
    if (nowMs() - (this.#sentAtMs.get(newest.hash) ?? Number.NEGATIVE_INFINITY) < resendMs) return;
    for (const attempt of attempts) await this.#send(lane, attempt);
    this.#options.onNews();
  }

  /** True when a dearer one has left in its place. */
  async #replace({ stream, state, lane }: Followed): Promise<boolean> {
    const { engine, chain, log, fault } = this.#options;
    const { attempts, signer } = state.broadcast;
    if (!lane) {
      this.#complain({ stream, signer }, 'a transaction waits whose key is not ours: nothing can make it dearer');
      return false;
    }
    const before = termsOf(attempts.at(-1)!.raw as Hex);
    const fees = attempts.length < ATTEMPTS_MAX ? bumpedFees(before, await chain.fees()) : undefined;
    if (!fees) {
      const offered = { stream, max_fee_wei: String(before.maxFeeWei), attempts: attempts.length };
      this.#complain(offered, 'a transaction waits although it offers the most that is allowed');
      return false;
    }
    const { hash, raw } = await lane.signer.sign(outgoingKindOf(stream).callOf(state), { ...before, ...fees });
    fault('dearer');
    const body = { hash, raw, max_fee_wei: String(fees.maxFeeWei) };
    const key = `replace:${stream}:${randomUUID()}`;
    const { rejection } = await engine.execute({
      principal: 'platform',
      key,
      stream,
      type: 'ReplaceTransaction',
      body,
    });
    if (rejection !== undefined) return false;
    fault('replaced');
    log.info({ stream, hash, max_fee_wei: body.max_fee_wei }, 'a transaction was replaced by a dearer one');
    await lane.send(hash, raw);
    return true;
  }

  /** The chain changed deeper than the policy waits for: what it forgot is sent again, and can still be mined only once. */
  async #resendForgotten(newest: bigint): Promise<void> {
    const { chain, log, nowMs } = this.#options;
    this.#recheckedAtMs = nowMs();
    for (const { stream, broadcast } of await this.#recent(newest)) {
      const { hash, block, block_hash, attempts } = broadcast;
      if ((await chain.header(BigInt(block)))?.hash === block_hash) continue;
      if (await chain.receiptOf(hash as Hex, newest)) continue;
      const attempt = attempts.find((one) => one.hash === hash);
      this.#unrestUntil = newest + REORG_BLOCKS_MAX;
      log.warn({ stream, hash }, 'the chain forgot a final transaction; it is sent again');
      if (attempt) await this.#send(this.#laneOf(broadcast), attempt);
    }
  }

  /** Final ones, wherever their streams have gone from there. */
  async #recent(newest: bigint): Promise<{ stream: string; broadcast: Broadcast }[]> {
    const isRecent = ({ phase, block }: Broadcast): boolean =>
      phase === 'final' && BigInt(block) > newest - REORG_BLOCKS_MAX;
    const pages = Object.entries(OUTGOING).flatMap(([kind, { done, later }]) =>
      [done, SIGNED, ...later].map((status) => this.#rowsOf(kind, status, RECENT_MAX)),
    );
    return (await Promise.all(pages))
      .flat()
      .flatMap(({ stream, state }) => {
        const { broadcast, carried } = state as OutgoingState;
        return [broadcast, ...(carried ? [carried] : [])].map((one) => ({ stream, broadcast: one }));
      })
      .filter(({ broadcast }) => isRecent(broadcast))
      .sort((a, b) => Number(BigInt(a.broadcast.nonce) - BigInt(b.broadcast.nonce)));
  }

  #forgetConcluded(signed: readonly Followed[]): void {
    const hashes = signed.flatMap(({ state }) => state.broadcast.attempts.map(({ hash }) => hash));
    const alive = new Set([...hashes, ...signed.map(({ stream }) => `before ${stream}`)]);
    const kept = (times: Map<string, number>) => new Map([...times].filter(([hash]) => alive.has(hash)));
    this.#unminedSinceMs = kept(this.#unminedSinceMs);
    const followed = new Set(signed.map(({ stream }) => stream));
    this.#complained = new Set([...this.#complained].filter((stream) => followed.has(stream)));
    const freshMs = this.#options.nowMs() - this.#options.resendMs;
    this.#sentAtMs = new Map([...this.#sentAtMs].filter(([hash, atMs]) => alive.has(hash) || atMs > freshMs));
  }
}
