/** Many transfers in one transaction, as anybody can send them: each is placed, and the transaction is asked for once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPublicClient, custom } from 'viem';
import { artifactOf } from './artifacts.ts';
import { saltOf } from './chain.ts';
import { startTestChain } from './testing.ts';
import { transfersOf } from './transfers.ts';

const ADDRESSES = 20;

test('a transaction with many transfers costs one receipt, and each of them has its own place', async () => {
  await using world = await startTestChain();
  const { token, treasury, factory } = world.config;
  const payer = await world.wallet(1_000n);
  const salts = Array.from({ length: ADDRESSES }, (_, n) => saltOf(`principal ${n}`));
  const { abi } = artifactOf('ForwarderFactory');
  const asked: string[] = [];
  const request = (what: { method: string; params?: unknown }) => {
    asked.push(what.method);
    return world.chain.request(what);
  };
  const client = createPublicClient({ transport: custom({ request }) });
  for (const [n, salt] of salts.entries()) {
    const to = await client.readContract({ address: factory, abi, functionName: 'predict', args: [salt, treasury] });
    await world.pay(payer, to as `0x${string}`, BigInt(n + 1));
  }
  const tx = await world.write(payer, {
    ...{ address: factory, abi, functionName: 'sweep', args: [salts, token, treasury] },
  } as never);
  asked.length = 0;
  const { number } = await client.getBlock();
  const seen = await transfersOf(client, token, { from: 0n, to: number, payees: [treasury] });
  assert.deepEqual(
    seen.map(({ micros }) => micros),
    salts.map((_, n) => BigInt(n + 1)),
  );
  assert.ok(seen.every((one) => one.tx === tx && one.authorization === undefined && one.block.number === number));
  const ordinals = seen.map(({ ordinal }) => ordinal);
  assert.deepEqual(
    ordinals,
    [...new Set(ordinals)].sort((a, b) => a - b),
  );
  assert.equal(asked.filter((method) => method === 'eth_getTransactionReceipt').length, 1);
});
