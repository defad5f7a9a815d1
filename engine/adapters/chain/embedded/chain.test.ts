/** The development chain: what was answered is there again after a restart, and a gift is given once. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createPublicClient, custom, parseAbi } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { type DevelopmentChain, startDevelopmentChain } from './chain.ts';

const folder = mkdtempSync(join(tmpdir(), 'tally-chain-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const clientOf = (chain: DevelopmentChain) => createPublicClient({ transport: custom(chain, { retryCount: 0 }) });
const tokensOf = (chain: DevelopmentChain, address: `0x${string}`) =>
  clientOf(chain).readContract({
    address: chain.token,
    abi: parseAbi(['function balanceOf(address) view returns (uint256)']),
    functionName: 'balanceOf',
    args: [address],
  });
const newAddress = () => privateKeyToAddress(generatePrivateKey());

test('the token is what payments expect', async () => {
  using chain = await startDevelopmentChain();
  const abi = parseAbi([
    'function name() view returns (string)',
    'function version() view returns (string)',
    'function decimals() view returns (uint8)',
  ]);
  const read = (functionName: 'name' | 'version' | 'decimals') =>
    clientOf(chain).readContract({ address: chain.token, abi, functionName });
  assert.deepEqual([await read('name'), await read('version'), await read('decimals')], ['USD Coin', '1', 6]);
});

test('[I-14] a gift with the same reference is given once', async () => {
  using chain = await startDevelopmentChain();
  const to = newAddress();
  const gift = { to, micros: 5_000_000n, reference: 'first', withGas: true };
  const hashes = await Promise.all([chain.faucet.give(gift), chain.faucet.give(gift)]);
  assert.equal(hashes[0], hashes[1]);
  await chain.faucet.give({ ...gift, reference: 'second', micros: 1n });
  assert.equal(await tokensOf(chain, to), 5_000_001n);
  assert.ok((await clientOf(chain).getBalance({ address: to })) > 0n);
});

test('[I-17] a restart brings the same blocks back, without what was never answered', async () => {
  const journalFile = join(folder, 'journal.jsonl');
  const to = newAddress();
  let head: { hash: string; number: bigint };
  {
    using chain = await startDevelopmentChain({ journalFile });
    await chain.faucet.give({ to, micros: 7n, reference: 'a', withGas: true });
    await chain.request({ method: 'evm_mine' });
    head = await clientOf(chain).getBlock();
  }
  appendFileSync(journalFile, '{"timeS":17');
  using chain = await startDevelopmentChain({ journalFile, nowMs: () => 0 });
  const again = await clientOf(chain).getBlock();
  assert.deepEqual([again.hash, again.number], [head.hash, head.number]);
  assert.equal(await tokensOf(chain, to), 7n);
  await chain.faucet.give({ to, micros: 7n, reference: 'a', withGas: false });
  assert.equal(await tokensOf(chain, to), 7n);
  await chain.faucet.give({ to, micros: 1n, reference: 'b', withGas: false });
  assert.equal(await tokensOf(chain, to), 8n);
});

test('time goes on where nothing happens: empty blocks come for whoever asks, ever more rarely, and are remembered', async () => {
  const journalFile = join(folder, 'idle.jsonl');
  const to = newAddress();
  let nowS = 1_800_000_000;
  const options = { journalFile, hasIdleBlocks: true, nowMs: () => nowS * 1_000 };
  const head = async (chain: DevelopmentChain) => Number(await chain.request({ method: 'eth_blockNumber' }));
  /** Blocks that came by asking several at once after so many seconds. */
  const cameAfter = async (chain: DevelopmentChain, seconds: number): Promise<number> => {
    const before = await head(chain);
    nowS += seconds;
    await Promise.all([head(chain), head(chain), head(chain)]);
    return (await head(chain)) - before;
  };
  let last: { hash: string; timestamp: bigint };
  {
    using chain = await startDevelopmentChain(options);
    await chain.faucet.give({ to, micros: 7n, reference: 'a', withGas: false });
    assert.equal(await cameAfter(chain, 14), 0);
    assert.equal(await cameAfter(chain, 1), 1);
    assert.equal(await cameAfter(chain, 29), 0);
    last = await clientOf(chain).getBlock({ blockNumber: BigInt(await head(chain)) });
  }
  using chain = await startDevelopmentChain(options);
  const again = await clientOf(chain).getBlock({ blockNumber: BigInt(await head(chain)) });
  assert.deepEqual([again.hash, again.timestamp], [last.hash, BigInt(nowS - 29)]);
  assert.equal(await cameAfter(chain, 1), 1, 'a restart does not make it forget how long nothing happened');
  await chain.faucet.give({ to, micros: 7n, reference: 'b', withGas: false });
  assert.equal(await cameAfter(chain, 15), 1);
  let blocks = 0;
  for (let minute = 0; minute < 24 * 60; minute++) blocks += await cameAfter(chain, 60);
  assert.ok(blocks >= 144 && blocks <= 150, `${blocks} in an idle day`);
});

test('what no journal could tell again is refused', async () => {
  using chain = await startDevelopmentChain();
  const setting = chain.request({ method: 'hardhat_setBalance', params: [newAddress(), '0x1'] });
  await assert.rejects(setting, /no method hardhat_setBalance/);
  await assert.rejects(chain.request({ method: 'eth_sendRawTransaction', params: ['0x00'] }));
});
