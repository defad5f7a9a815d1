/** Balances of many addresses: those of each, as of one block, by few questions; with Multicall3 and without. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { balancesReader } from './balances.ts';
import { serveChain } from './embedded/server.ts';
import { ChainFault, clientsOf } from './endpoints.ts';
import { newAddress, startTestChain, type TestChain } from './testing.ts';

const MULTICALL = '0xca11bde05977b3631167028862be2a173976ca11';
const ADDRESSES = Array.from({ length: 1_203 }, newAddress);

let world: TestChain;
before(async () => {
  world = await startTestChain();
  const payer = await world.wallet(100n);
  for (const [i, micros] of [
    [0, 5n],
    [700, 7n],
    [1_202, 9n],
  ] as const)
    await world.pay(payer, ADDRESSES[i]!, micros);
});
after(() => world[Symbol.asyncDispose]());

const newestBlock = async (): Promise<bigint> =>
  BigInt((await world.chain.request({ method: 'eth_blockNumber', params: [] })) as string);
const holding = (micros: Record<number, bigint>, count = ADDRESSES.length): bigint[] =>
  ADDRESSES.slice(0, count).map((_, i) => micros[i] ?? 0n);

test('of many addresses in a few questions, as of a block or the newest', async () => {
  const asked: string[] = [];
  const overheard: typeof world.chain = {
    ...world.chain,
    request(wanted) {
      asked.push(wanted.method);
      return world.chain.request(wanted);
    },
  };
  const { url, server } = await serveChain(overheard, 0);
  try {
    const read = balancesReader(clientsOf([url]), world.config.token);
    const block = await newestBlock();
    await world.pay(await world.wallet(1n), ADDRESSES[1]!, 1n);
    assert.deepEqual(await read(ADDRESSES, block), holding({ 0: 5n, 700: 7n, 1202: 9n }));
    assert.deepEqual(asked, ['eth_getCode', ...Array(3).fill('eth_call')]);
    assert.deepEqual(await read(ADDRESSES), holding({ 0: 5n, 1: 1n, 700: 7n, 1202: 9n }));
    assert.deepEqual([asked.length, await read([])], [7, []]);
    assert.deepEqual([await read([ADDRESSES[0]!], block), asked.length], [[5n], 8]);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('endpoints that differ in one of many are not believed', async () => {
  await using other = await startTestChain();
  const read = balancesReader(clientsOf([world.url, other.url]), world.config.token);
  await assert.rejects(read(ADDRESSES), (fault) => fault instanceof ChainFault && fault.kind === 'disagreement');
});

test('without Multicall3 each is asked for by itself', async () => {
  const { evm } = world.chain;
  const undo = await world.snapshot();
  await evm.request({ method: 'hardhat_setCode', params: [MULTICALL, '0x'] });
  const read = balancesReader(clientsOf([world.url]), world.config.token);
  const held = await read(ADDRESSES.slice(0, 130));
  assert.deepEqual([held[0], held.length], [5n, 130]);
  await undo();
});
