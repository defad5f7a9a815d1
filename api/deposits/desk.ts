/**
 * Where the api and the chain meet: a caller's address, and development money that takes the way of real money.
 * Promise: nothing here credits; that is the watcher's alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, FROM_START, readReceipts, readStream } from '@tallystick/engine';
import {
  askFaucet,
  type Chain,
  type ChainLink,
  type ChainSettings,
  type FaucetGift,
} from '@tallystick/engine/adapters/chain';
import { microsIn, parseStrict, type Receipt, receiptIdOf } from '@tallystick/kernel';
import { refuse } from '@tallystick/surface';
import { addressStream, type DepositState, depositIdOf, depositStream } from '@tallystick/treasury';
import { accepted } from '../outcome.ts';

const CREDIT_MS_MAX = 15_000;
const LOOK_EVERY_MS = 50;
const RETRY_AFTER_MS = 1_000;
/** Beyond what clients wait for by themselves. */
const RETRY_WITH_BLOCKS_MS = 60_000;
const RECEIPTS_PER_LOOK = 100;

export interface Desk {
  engine: Engine;
  link: ChainLink;
  settings: ChainSettings;
}

/** @errors refuses where there is no chain */
export function connected(desk: Desk | undefined): Desk {
  if (!desk) throw refuse('NO_CHAIN');
  return desk;
}

/** Assigned at the first question; the same for ever. @errors refuses when it could not be assigned: nobody looks at such an address */
export async function depositAddressFor(
  { engine, link }: Desk,
  principal: string,
): Promise<{ chain: Chain; address: `0x${string}` }> {
  const chain = await link.chain();
  const address = chain.depositAddress(principal).toLowerCase() as `0x${string}`;
  const stream = addressStream(chain.key, address);
  const outcome = await engine.execute({
    principal: 'platform',
    key: `assign:${stream}`,
    stream,
    type: 'AssignAddress',
    body: { rail: chain.key, address, principal },
  });
  if (outcome.rejection !== 'NOTHING_TO_CHANGE') accepted(outcome);
  return { chain, address };
}

/** Development dollars for an address: the hash of their transaction. @errors refuses where the chain has no faucet */
export async function askGift({ settings }: Desk, gift: FaucetGift): Promise<`0x${string}`> {
  const tx = await askFaucet(settings.config.rpcUrls[0]!, gift);
  if (tx !== undefined) return tx;
  throw refuse(
    'DEVELOPMENT_ONLY',
    {},
    'the chain of this platform has no faucet: dollars are sent to the deposit address',
  );
}

export interface Gift {
  principal: string;
  micros: bigint;
  /** The same one is paid once. */
  reference: string;
}

/**
 * From the faucet to the caller's address, credited by the watcher like anybody's.
 * @errors refuses with how far it is when it is not credited in time
 */
export async function giveDevelopmentMoney(
  desk: Desk,
  { principal, micros, reference }: Gift,
  creditMsMax = CREDIT_MS_MAX,
): Promise<DepositState> {
  const { chain, address } = await depositAddressFor(desk, principal);
  const tx = await askGift(desk, { to: address, micros, reference });
  const [transfer] = await chain.transfersIn(tx, address);
  if (!transfer) throw refuse('DEPOSIT_PENDING', { tx, retry_after_ms: RETRY_AFTER_MS });
  const stream = depositStream(depositIdOf(chain.key, transfer));
  for (const giveUpAtMs = performance.now() + creditMsMax; performance.now() < giveUpAtMs; await sleep(LOOK_EVERY_MS)) {
    const state = (await readStream(desk.engine, stream))?.state as unknown as DepositState | undefined;
    if (state?.status === 'credited') return state;
  }
  throw refuse('DEPOSIT_PENDING', { tx, ...(await depthOf(desk, chain, transfer.block.number)) });
}

/** When the next block comes nobody knows: a client that repeats by itself should not wait for it. */
async function depthOf({ settings }: Desk, chain: Chain, block: bigint) {
  const confirmations = Number((await chain.head()).number - block) + 1;
  const isDeep = confirmations >= settings.confirmations;
  return {
    confirmations,
    confirmations_needed: settings.confirmations,
    retry_after_ms: isDeep ? RETRY_AFTER_MS : RETRY_WITH_BLOCKS_MS,
  };
}

export interface Credit {
  receiptId: string;
  atUs: bigint;
  /** Of the account, right after it. */
  balanceMicros: bigint;
}

/** The receipt that credited it. @errors rejects when there is none, which a credited deposit always has */
export async function creditOf(engine: Engine, { id, principal }: DepositState): Promise<Credit> {
  const seenPos = (await readStream(engine, depositStream(id)))?.createdPos ?? FROM_START;
  for (let after = seenPos; ; ) {
    const page = await readReceipts(engine, { stream: `account:${principal}`, after, limit: RECEIPTS_PER_LOOK });
    for (const { pos, bytes } of page) {
      const { events, at_us } = parseStrict(bytes.toString('utf8')) as unknown as Receipt;
      const credited = events.find(({ type, body }) => type === 'DepositCredited' && body['deposit_id'] === id);
      if (!credited) continue;
      const balanceMicros = microsIn(credited.body, 'balance_micros');
      return { receiptId: receiptIdOf(engine.shard, pos, BigInt(at_us)), atUs: BigInt(at_us), balanceMicros };
    }
    if (page.length < RECEIPTS_PER_LOOK) throw new Error(`no receipt of ${principal} credits ${id}`);
    after = page.at(-1)!.pos;
  }
}
