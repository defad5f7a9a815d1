/**
 * The watcher with two endpoints of which one lies, lags or falls silent.
 * Promise: what the honest one does not have is neither credited nor shown, what it has is taken from nobody; and once both say the same
 * again, everything is there, once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamsOfStatus } from '@tallystick/engine';
import { ChainFault, type ChainFaultKind, openChain } from '@tallystick/engine/adapters/chain';
import { type Answer, startEndpoint } from '@tallystick/engine/adapters/chain/testing';
import type { DepositState } from '@tallystick/treasury';
import { encodeAbiParameters, type Hex, pad, toEventSelector } from 'viem';
import { TREASURY } from './testing.ts';
import { balanceOf, newTreasuryWorld, type Person, type TreasuryWorld } from './treasury-world.ts';
import type { Watcher } from './watcher.ts';

const CENT = 10_000n;
const FIRST = 10n * CENT;
const SECOND = 30n * CENT;
const INVENTED = 7_777n * CENT;
const FAR = 1_000n;
const MADE_UP = `0x${'5a'.repeat(32)}`;
const AUTHORIZATION_USED = toEventSelector('AuthorizationUsed(address,bytes32)');
const LOOKS = 3;
const DEPOSITS_MAX = 100;

interface Log {
  topics: string[];
  data: string;
  transactionHash: string;
  logIndex: string;
}
interface Receipt {
  logs: Log[];
  transactionHash: string;
}
/** Whom a lie is for, and the chain that it is about. */
interface About {
  bob: Person;
  world: TreasuryWorld;
}
type Lie = (about: About) => Answer;

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const next = (log: Log): string => hex(BigInt(log.logIndex) + 1n);

/** A copy of a log of ours: from bob, and of more. */
const forged = (log: Log, { bob }: About, change: Partial<Log>): Log => ({
  ...log,
  topics: [log.topics[0]!, pad(bob.key.address.toLowerCase() as Hex), log.topics[2]!],
  data: encodeAbiParameters([{ type: 'uint256' }], [INVENTED]),
  ...change,
});

/** What the chain says to a method, changed. */
const changing =
  <T>(of: string, change: (said: T, about: About) => unknown): Lie =>
  (about) =>
  async ({ method }, honest) => {
    const said = await honest();
    return method === of && said !== null ? change(said as T, about) : said;
  };

/** A transaction that nobody sent, or another transfer in one that was; with a receipt that bears it out. */
const inventing =
  (transactionHash: string | undefined): Lie =>
  (about) => {
    const { chain } = about.world.test;
    let real: string | undefined;
    return async ({ method, params }, honest) => {
      const isAsked = method === 'eth_getTransactionReceipt' && params[0] === (transactionHash ?? real);
      if (isAsked && real !== undefined) {
        const receipt = (await chain.request({ method, params: [real] })) as Receipt;
        const last = receipt.logs.at(-1)!;
        const lie = forged(last, about, { logIndex: next(last), ...(transactionHash ? { transactionHash } : {}) });
        return { ...receipt, ...(transactionHash ? { transactionHash } : {}), logs: [...receipt.logs, lie] };
      }
      const said = await honest();
      if (method !== 'eth_getLogs') return said;
      const newest = (said as Log[]).at(-1);
      real = newest?.transactionHash ?? real;
      if (!newest) return said;
      const lie = forged(newest, about, { logIndex: next(newest), ...(transactionHash ? { transactionHash } : {}) });
      return [...(said as Log[]), lie];
    };
  };

/** Knows nothing above a block: consistently, as a node that is behind. */
const behind: Lie =
  ({ world }) =>
  async ({ method, params }, honest) => {
    const { chain } = world.test;
    const top = BigInt((await chain.request({ method: 'eth_blockNumber' })) as string) - 1n;
    if (method === 'eth_blockNumber') return hex(top);
    const said = await honest();
    const { blockNumber, number } = (said ?? {}) as { blockNumber?: string; number?: string };
    if (BigInt(blockNumber ?? number ?? '0x0') > top) return null;
    if (method !== 'eth_getLogs' || params.length === 0) return said;
    return (said as { blockNumber: string }[]).filter((log) => BigInt(log.blockNumber) <= top);
  };

type Fault = ChainFaultKind | undefined;
/** Faults with one confirmation; with three, where what is new is only pending. Undefined: it goes on with what the honest one says. */
const LIES: [what: string, lie: Lie, fault: Fault, pending: Fault][] = [
  [
    'invents a transfer in a log alone',
    changing<Log[]>('eth_getLogs', (logs, about) => [
      ...logs,
      ...logs.slice(-1).map((log) => forged(log, about, { transactionHash: MADE_UP })),
    ]),
    'unreachable',
    'unreachable',
  ],
  ['invents a transaction, with its receipt', inventing(MADE_UP), 'disagreement', 'disagreement'],
  ['invents a transfer in a real transaction', inventing(undefined), 'disagreement', 'disagreement'],
  ['hides a transfer', changing<Log[]>('eth_getLogs', () => []), 'disagreement', 'disagreement'],
  [
    'says another payer and amount',
    changing<Log[]>('eth_getLogs', (logs, about) => logs.map((log) => forged(log, about, {}))),
    'disagreement',
    'disagreement',
  ],
  [
    'has other blocks',
    changing<object>('eth_getBlockByNumber', (block) => ({ ...block, hash: MADE_UP })),
    'disagreement',
    'disagreement',
  ],
  [
    'counts the logs of a receipt otherwise',
    changing<Receipt>('eth_getTransactionReceipt', (receipt) => ({
      ...receipt,
      logs: receipt.logs.map((log) => ({ ...log, logIndex: next(log) })),
    })),
    'disagreement',
    'disagreement',
  ],
  [
    'says that a payment was authorized',
    changing<Receipt>('eth_getTransactionReceipt', (receipt) => {
      const [log] = receipt.logs;
      return {
        ...receipt,
        logs: [{ ...log!, topics: [AUTHORIZATION_USED, log!.topics[1]!, MADE_UP] }, ...receipt.logs],
      };
    }),
    'disagreement',
    'disagreement',
  ],
  [
    'has the receipt in another block',
    changing<Receipt>('eth_getTransactionReceipt', (receipt) => ({ ...receipt, blockHash: MADE_UP })),
    'disagreement',
    'disagreement',
  ],
  ['has no receipt', changing<Receipt>('eth_getTransactionReceipt', () => null), 'unreachable', 'unreachable'],
  [
    'says that the chain is far longer',
    changing<string>('eth_blockNumber', (head) => hex(BigInt(head) + FAR)),
    undefined,
    undefined,
  ],
  [
    'says that the chain ends at its first block',
    changing<string>('eth_blockNumber', () => '0x0'),
    'disagreement',
    'disagreement',
  ],
  ['is behind by a block', behind, undefined, undefined],
  [
    'answers nothing',
    () => () => {
      throw new Error('too many requests');
    },
    'unreachable',
    'unreachable',
  ],
];

async function deposits({
  engine,
}: TreasuryWorld): Promise<Pick<DepositState, 'status' | 'payer' | 'amount_micros'>[]> {
  const pages = ['seen', 'credited', 'parked', 'lost'].map((status) =>
    streamsOfStatus(engine, { kind: 'deposit', status, limit: DEPOSITS_MAX }),
  );
  return (await Promise.all(pages)).flat().map(({ state }) => state as unknown as DepositState);
}

/** Looks again and again: what every look came to. */
async function faultsOf(watcher: Watcher): Promise<Set<Fault>> {
  const found = new Set<Fault>();
  for (let looks = 0; looks < LOOKS; looks++)
    await watcher.look().then(
      () => found.add(undefined),
      (fault: unknown) => {
        assert.ok(fault instanceof ChainFault, String(fault));
        found.add(fault.kind);
      },
    );
  return found;
}

/** With money that was credited before, and money that comes while one of the endpoints lies. */
async function lied(
  lie: Lie,
  { isFirst, confirmations, fault }: { isFirst: boolean; confirmations: number; fault: Fault },
) {
  await using world = await newTreasuryWorld();
  await using liar = await startEndpoint(world.test.chain);
  const [ann, bob] = [await world.person(100n * CENT), await world.person(0n)];
  const urls = [liar.url, world.test.url];
  const chain = await openChain({ ...world.test.config, rpcUrls: isFirst ? urls : urls.reverse() });
  const watcher = world.watcher(confirmations, world.engine, chain);
  await world.test.pay(ann.key, TREASURY, FIRST);
  await world.test.mine(confirmations);
  await watcher.look();
  assert.equal(await balanceOf(world, ann), FIRST);

  await world.test.pay(ann.key, TREASURY, SECOND);
  liar.say(lie({ bob, world }));
  for (const one of [watcher, world.watcher(confirmations, world.engine, chain)]) {
    assert.deepEqual([...(await faultsOf(one))], [fault]);
    assert.ok([FIRST, FIRST + SECOND].includes(await balanceOf(world, ann)));
    assert.equal(await balanceOf(world, bob), 0n);
    for (const { status, payer, amount_micros } of await deposits(world)) {
      assert.ok(status === 'seen' || status === 'credited', status);
      assert.equal(payer, ann.key.address.toLowerCase());
      assert.ok([FIRST, SECOND].includes(BigInt(amount_micros)), amount_micros);
    }
  }

  liar.say();
  await world.test.mine(confirmations);
  for (let looks = 0; looks < LOOKS; looks++) await watcher.look();
  await watcher.checkReserves();
  assert.deepEqual([await balanceOf(world, ann), await balanceOf(world, bob)], [FIRST + SECOND, 0n]);
  assert.deepEqual(
    (await deposits(world)).map(({ status }) => status),
    ['credited', 'credited'],
  );
  const { scanned, reserves } = await world.rail();
  const { number } = await world.chain.head();
  assert.ok(BigInt(scanned.number) <= number - BigInt(confirmations) + 1n);
  assert.equal(reserves?.missing_micros ?? '0', '0');
  const sides = await world.reserves();
  assert.deepEqual(sides.chain, sides.ledger);
}

for (const [what, lie, fault, pending] of LIES)
  test(`[I-14] an endpoint that ${what} makes nobody richer or poorer`, async () => {
    await lied(lie, { isFirst: true, confirmations: 1, fault });
    await lied(lie, { isFirst: false, confirmations: 3, fault: pending });
  });
