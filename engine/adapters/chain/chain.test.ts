/** What is read of a chain: our transfers and nobody else's, at places that survive, or a fault that says why not. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { createPublicClient, http } from 'viem';
import { artifactOf } from './artifacts.ts';
import { depositAddressOf, openChain, saltOf } from './chain.ts';
import { ChainFault } from './endpoints.ts';
import { newAddress, startTestChain, type TestChain } from './testing.ts';

const ANN = 'eip155:31337:0x00000000000000000000000000000000000000aa';

let world: TestChain;
before(async () => {
  world = await startTestChain();
});
after(() => world[Symbol.asyncDispose]());

const faultOf = (kind: string, words: RegExp) => (fault: unknown) =>
  fault instanceof ChainFault && fault.kind === kind && words.test(fault.message);

test('transfers to our addresses are seen with payer, amount and place; others are not', async () => {
  const chain = await openChain(world.config);
  const [ann, stranger] = [await world.wallet(10_000_000n), await world.wallet(10_000_000n)];
  const mine = chain.depositAddress(ANN);
  const from = (await chain.head()).number + 1n;
  const tx = await world.pay(ann, mine, 2_500_000n);
  await world.pay(stranger, newAddress(), 1_000_000n);
  await world.pay(stranger, world.config.treasury, 1n);
  await world.pay(stranger, mine, 0n);
  const { number: to } = await chain.head();
  const seen = await chain.transfers(from, to, [mine, world.config.treasury]);
  assert.deepEqual(
    seen.map(({ payer, payee, micros, ordinal }) => ({ payer, payee, micros, ordinal })),
    [
      { payer: ann.address.toLowerCase(), payee: mine.toLowerCase(), micros: 2_500_000n, ordinal: 0 },
      { payer: stranger.address.toLowerCase(), payee: world.config.treasury, micros: 1n, ordinal: 0 },
    ],
  );
  assert.equal(seen[0]!.tx, tx);
  assert.deepEqual(seen[0]!.block, await chain.header(from));
  assert.equal(await chain.balanceOf(mine), 2_500_000n);
});

test('a transfer moved by an authorization is seen with its nonce', async () => {
  const chain = await openChain(world.config);
  const from = (await chain.head()).number + 1n;
  await world.chain.faucet.give({ to: world.config.treasury, micros: 9n, reference: 'authorized', withGas: false });
  const [seen] = await chain.transfers(from, (await chain.head()).number, [world.config.treasury]);
  assert.match(seen!.authorization!, /^0x[0-9a-f]{64}$/);
  assert.equal(seen!.ordinal, 1);
});

test("[I-14] another token's transfers do not count", async () => {
  const chain = await openChain(world.config);
  const payer = await world.wallet(5n);
  const from = (await chain.head()).number + 1n;
  const { abi, bytecode } = artifactOf('DevelopmentUsd');
  const other = await world.deploy(payer, abi, bytecode);
  await world.write(payer, { address: other, abi, functionName: 'mint', args: [payer.address, 10n] } as never);
  await world.pay(payer, world.config.treasury, 10n, other);
  assert.deepEqual(await chain.transfers(from, (await chain.head()).number, [world.config.treasury]), []);
});

test('a deposit address is the one that the factory makes', async () => {
  const { url, config } = world;
  const client = createPublicClient({ transport: http(url) });
  const { abi } = artifactOf('ForwarderFactory');
  const predicted = await client.readContract({
    address: config.factory,
    abi,
    functionName: 'predict',
    args: [saltOf(ANN), config.treasury],
  });
  assert.equal(depositAddressOf(config, ANN), predicted);
});

test('what a forwarder holds can be swept to the treasury, again and again', async () => {
  const chain = await openChain(world.config);
  const [payer, anybody] = [await world.wallet(10n), await world.wallet(0n)];
  const mine = chain.depositAddress('eip155:1:0xbb');
  const { abi } = artifactOf('ForwarderFactory');
  const { treasury, factory, token } = world.config;
  const before = await chain.balanceOf(treasury);
  for (const micros of [4n, 6n]) {
    await world.pay(payer, mine, micros);
    const args = [[saltOf('eip155:1:0xbb')], token, treasury];
    await world.write(anybody, { address: factory, abi, functionName: 'sweep', args } as never);
  }
  assert.deepEqual([await chain.balanceOf(mine), await chain.balanceOf(treasury)], [0n, before + 10n]);
});

test('without an endpoint nothing is opened', async () => {
  await assert.rejects(openChain({ ...world.config, rpcUrls: [] }), faultOf('misconfigured', /no JSON-RPC endpoint/));
});

test('endpoints that differ are not believed, and one that is away is not guessed', async () => {
  await using other = await startTestChain(world.config.treasury);
  const both = { ...world.config, rpcUrls: [world.url, other.url] };
  await assert.rejects(openChain(both), faultOf('disagreement', /genesis hash/));
  const silent = createServer((_request, response) => response.destroy());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await assert.rejects(openChain({ ...world.config, rpcUrls: [url] }), faultOf('unreachable', /does not answer/));
  silent.close();
});
