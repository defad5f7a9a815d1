/**
 * Carries transactions of ours to the chain: signed once, sent as often as it takes, concluded by what the chain says.
 * Promise: dies anywhere and loses nothing; any number may carry at once; money moves once, whatever is sent twice or dearer.
 */
import { randomUUID } from 'node:crypto';
import { type Engine, readStream, type StreamRow } from '@tallystick/engine';
import {
  type Chain,
  type ChainCall,
  type Fees,
  gasMaxOf,
  type RoleSigner,
  type SignerRole,
} from '@tallystick/engine/adapters/chain';
import { type JsonObject, kindOf, standingStream } from '@tallystick/kernel';
import { areReservesUnchecked, type RailState, railStream } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Hex } from 'viem';
import { Follower } from './follower.ts';
import { PayoutFloat } from './liquidity.ts';
import { OUTGOING, type OutgoingState, outgoingKindOf } from './outgoing.ts';
import { PayerFloat } from './payer-float.ts';
import { type Carried, type FaultHook, SignerLane } from './signer-lane.ts';
import { TURN_MAX, Turns } from './turns.ts';

/** What cannot be sent now is tried again after so long, then after twice as long, and so on. */
const AGAIN_FIRST_MS = 500;
/** So long a price is the price. */
const FEES_MS = 500;
const AGAIN_MS_MAX = 60_000;
/** What the contract refuses for so long is sent for the chain to refuse, so that its owner has an end of it. */
const REFUSED_MS_MAX = 600_000;
/** What nobody's money depends on is dropped after so long: another batch may leave out what holds it up. */
const REFUSED_SWEEP_MS_MAX = 5_000;
/** Of what the contract says, in a receipt. */
const CAUSE_CHARS_MAX = 200;

export interface BroadcasterOptions {
  engine: Engine;
  chain: Chain;
  signers: readonly RoleSigner[];
  confirmations: number;
  /** A transaction that is in no block after so long is sent again, the same bytes. */
  resendMs: number;
  /** After so long it is replaced by a dearer one with the same nonce. */
  bumpMs: number;
  /** Something left or was mined: whoever waits for it may look. */
  onNews: () => void;
  /** The treasury's address holds too little for a payout: what stands at deposit addresses may be gathered. */
  onShort?: () => void;
  log: Logger;
  fault?: FaultHook;
  nowMs?: () => number;
  /** So many of a kind that wait are tried in one look; the next one goes on behind them. */
  turnMax?: number;
}

export class Broadcaster {
  readonly #options: BroadcasterOptions;
  readonly #lanes: ReadonlyMap<SignerRole, SignerLane>;
  readonly #follower: Follower;
  #isIdle = false;
  readonly #underWay = new Set<string>();
  readonly #float: PayoutFloat;
  readonly #payers: PayerFloat;
  #fees: { atMs: number; fees: Promise<Fees> } | undefined;
  /** Streams that could not be carried: when to try again, and how often it was tried. */
  readonly #waiting = new Map<string, { atMs: number; tries: number }>();
  /** Since when the contract has refused them without a break. */
  readonly #refusedSinceMs = new Map<string, number>();
  readonly #turns: ReadonlyMap<string, Turns>;

  constructor(options: BroadcasterOptions) {
    const { signers, fault = () => undefined, nowMs = () => performance.now() } = options;
    this.#options = { ...options, fault, nowMs };
    this.#float = new PayoutFloat({ ...options, nowMs });
    this.#payers = new PayerFloat(options);
    const onSent = (hash: Hex): void => this.#follower.sent(hash);
    const lane = (signer: RoleSigner) => new SignerLane({ ...options, signer, fault, onSent });
    this.#lanes = new Map(signers.map((signer) => [signer.role, lane(signer)]));
    this.#follower = new Follower({ ...options, fault, nowMs, lanes: [...this.#lanes.values()] });
    this.#turns = new Map(Object.keys(OUTGOING).map((kind) => [kind, this.#turnsOf(kind, options)]));
  }

  #turnsOf(kind: string, { engine, chain, turnMax: max = TURN_MAX }: BroadcasterOptions): Turns {
    const { ready: status, role } = OUTGOING[kind]!;
    const isOurs = ({ state }: StreamRow): boolean => state['rail'] === chain.key && this.#lanes.has(role);
    return new Turns({ engine, kind, status, max, isOurs });
  }

  /** A message of the outbox. @errors rejects with ChainFault or Fault: it is delivered again */
  async carry(stream: string): Promise<void> {
    if (this.#underWay.has(stream)) return;
    this.#underWay.add(stream);
    try {
      const carried = await this.#carry(stream);
      if (carried === 'sent') this.#waiting.delete(stream);
      else this.#postpone(stream);
    } finally {
      this.#underWay.delete(stream);
      this.#float.over(stream);
      this.#payers.over(stream);
    }
  }

  /** Follows what is signed, then carries what was left. One that fails stops no other. @errors rejects with ChainFault or Fault */
  async look(): Promise<void> {
    const followed = await this.#follower.look();
    let isAnyReady = false;
    for (const [kind, turns] of this.#turns) {
      const { rows, round } = await turns.next();
      await this.#carryDue(kind, rows);
      if (round) this.#forgetAllBut(kind, round);
      isAnyReady ||= rows.length > 0 || !round;
    }
    this.#isIdle = followed === 0 && !isAnyReady;
  }

  /** Those that are ready no more. */
  #forgetAllBut(kind: string, ready: ReadonlySet<string>): void {
    for (const known of [this.#waiting, this.#refusedSinceMs])
      for (const stream of known.keys()) if (kindOf(stream) === kind && !ready.has(stream)) known.delete(stream);
  }

  /** Whether the last look found nothing under way. */
  get isIdle(): boolean {
    return this.#isIdle;
  }

  /** All but those that wait for their time, oldest first: whoever came first is paid first. */
  async #carryDue(kind: string, ready: readonly StreamRow[]): Promise<void> {
    const { log, nowMs } = this.#options;
    const due = ready.filter(({ stream }) => (this.#waiting.get(stream)?.atMs ?? 0) <= nowMs!());
    const outcomes = await Promise.allSettled(due.map(({ stream }) => this.carry(stream)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) log.warn({ kind, fault: String(failed.reason) }, 'not all could be carried; tried again');
  }

  #postpone(stream: string): void {
    const tries = (this.#waiting.get(stream)?.tries ?? 0) + 1;
    const ms = Math.min(AGAIN_MS_MAX, AGAIN_FIRST_MS * 2 ** Math.min(tries - 1, 16));
    this.#waiting.set(stream, { atMs: this.#options.nowMs!() + ms, tries });
  }

  async #carry(stream: string): Promise<Carried> {
    const { engine, chain, fault, onNews } = this.#options;
    const kind = outgoingKindOf(stream);
    const state = (await readStream(engine, stream))?.state as OutgoingState | undefined;
    const isOurs = state?.status === kind.ready && state.rail === chain.key && kind.isReady(state);
    if (!isOurs) return 'refused';
    const lane = this.#lanes.get(kind.role);
    const call = kind.callOf(state);
    if (!lane || (await this.#isHeldBack(stream, state, call))) return 'later';
    fault!('ready');
    const [estimate, fees] = await Promise.all([chain.gasOf(call, lane.address), this.#feesNow()]);
    const gas = typeof estimate === 'bigint' ? estimate : await this.#gasForAnEnd(stream, call, estimate);
    if (gas === undefined) return 'later';
    this.#refusedSinceMs.delete(stream);
    fault!('estimated');
    const carried = await lane.carry(stream, call, { gas, ...fees }, kind.namedOf?.(state));
    if (carried === 'sent') onNews();
    return carried;
  }

  /** Undefined while it may still be taken. A payment lapses by itself, a sweep is dropped; a withdrawal must not wait for ever. */
  async #gasForAnEnd(stream: string, call: ChainCall, cause: string): Promise<bigint | undefined> {
    const { nowMs, chain, log } = this.#options;
    if (await this.#isCarried(call)) return undefined;
    log.warn({ stream, cause }, 'a transaction would fail and is not sent; tried again');
    const sinceMs = this.#refusedSinceMs.get(stream) ?? nowMs!();
    this.#refusedSinceMs.set(stream, sinceMs);
    const refusedMs = nowMs!() - sinceMs;
    if (call.kind === 'sweep' && refusedMs >= REFUSED_SWEEP_MS_MAX) await this.#drop(stream, cause);
    return call.kind === 'transfer' && refusedMs >= REFUSED_MS_MAX ? gasMaxOf(call, chain.config) : undefined;
  }

  /** Whoever has signed it meanwhile was first. */
  async #drop(stream: string, cause: string): Promise<void> {
    const body = { cause: cause.slice(0, CAUSE_CHARS_MAX) };
    await this.#options.engine.execute({
      principal: 'platform',
      key: `drop:${stream}:${randomUUID()}`,
      stream,
      type: 'DropSweep',
      body,
    });
  }

  /** Asked once for what is carried at about the same time. */
  #feesNow(): Promise<Fees> {
    const { chain, nowMs } = this.#options;
    const isOld = !this.#fees || nowMs!() - this.#fees.atMs > FEES_MS;
    if (isOld) this.#fees = { atMs: nowMs!(), fees: chain.fees() };
    return this.#fees!.fees;
  }

  async #isHeldBack(stream: string, state: OutgoingState, call: ChainCall): Promise<boolean> {
    if (call.kind === 'authorization') return !(await this.#isPayable(stream, call));
    if (kindOf(stream) !== 'withdrawal') return false;
    return (await this.#isStopped(state)) || !(await this.#promise(stream, state));
  }

  /** While the books and the chain differ, nobody has looked for long, or its owner is suspended: the rule would refuse it, and leave a receipt each time. */
  async #isStopped({ principal }: JsonObject): Promise<boolean> {
    const { engine, chain } = this.#options;
    const streams = [railStream(chain.key), standingStream(String(principal))];
    const [rail, standing] = await Promise.all(streams.map((stream) => readStream(engine, stream)));
    const isUnchecked = rail && areReservesUnchecked(rail.state as unknown as RailState, engine.nowUs());
    return isUnchecked || rail?.state['withdrawals_stopped'] === true || standing?.state['suspended'] === true;
  }

  /** False when the treasury's address has not as much. */
  async #promise(stream: string, { amount_micros }: JsonObject): Promise<boolean> {
    const { onShort, log } = this.#options;
    const isPromised = await this.#float.promise(stream, BigInt(String(amount_micros)));
    if (!isPromised) {
      log.info({ stream, amount_micros: String(amount_micros) }, 'the treasury must be filled first');
      onShort?.();
    }
    return isPromised;
  }

  /** False while its payer has not as much beyond what is signed, which also is so once somebody else brought it to the chain. */
  async #isPayable(stream: string, call: ChainCall & { kind: 'authorization' }): Promise<boolean> {
    const { from, nonce, value } = call.authorization;
    const isPayable = await this.#payers.promise(stream, { from, nonce, value: String(value) });
    if (!isPayable && !(await this.#isCarried(call)))
      this.#options.log.debug({ stream }, 'its payer has promised more than there is; tried again');
    return isPayable;
  }

  /** Somebody else brought it to the chain: the watcher sees it there. */
  async #isCarried(call: ChainCall): Promise<boolean> {
    const { chain, onNews } = this.#options;
    if (call.kind !== 'authorization') return false;
    const { from, nonce } = call.authorization;
    const isCarried = await chain.authorizationState(from, nonce);
    if (isCarried) onNews();
    return isCarried;
  }
}
