/** Contract wallets asked on a real chain: honest ones, hostile ones, ones that do not stand there yet, and endpoints that cannot be trusted. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import {
  type Address,
  createPublicClient,
  createWalletClient,
  custom,
  encodeFunctionData,
  type Hex,
  http,
  type PrivateKeyAccount,
  serializeErc6492Signature,
  toHex,
} from 'viem';
import { artifactOf } from './artifacts.ts';
import { type Chain, type ChainConfig, openChain } from './chain.ts';
import { personalDigest, SIGNATURE_BYTES_MAX } from './contract-wallet.ts';
import { ChainFault } from './endpoints.ts';
import { newAddress, startTestChain, type TestChain } from './testing.ts';

const TEXT = 'example.org wants you to sign in';
const DIGEST = personalDigest(TEXT);
const SALT = toHex(7, { size: 32 });
const FACTORY = artifactOf('DevelopmentWalletFactory');

let world: TestChain;
let chain: Chain;
let owner: PrivateKeyAccount;
let stranger: PrivateKeyAccount;
let factory: Address;

before(async () => {
  world = await startTestChain();
  chain = await openChain(world.config);
  [owner, stranger] = [await world.wallet(0n), await world.wallet(0n)];
  factory = await world.deploy(owner, FACTORY.abi, FACTORY.bytecode);
});
after(() => world[Symbol.asyncDispose]());

const sign = (account: PrivateKeyAccount): Promise<Hex> => account.signMessage({ message: TEXT });
const holds = async (wallet: Address, signature: Hex, on = chain): Promise<boolean> =>
  (await on.signatureHolds({ wallet, digest: DIGEST, signature })).holds;
const makingOf = (salt: Hex): Hex =>
  encodeFunctionData({ abi: FACTORY.abi, functionName: 'make', args: [owner.address, salt] });

async function predicted(salt: Hex): Promise<Address> {
  const client = createPublicClient({ transport: http(world.url) });
  const args = [owner.address, salt];
  return (await client.readContract({ address: factory, abi: FACTORY.abi, functionName: 'predict', args })) as Address;
}

async function made(salt: Hex): Promise<Address> {
  await world.write(owner, {
    address: factory,
    abi: FACTORY.abi,
    functionName: 'make',
    args: [owner.address, salt],
  } as never);
  return predicted(salt);
}

async function codeOf(address: Address): Promise<unknown> {
  return world.chain.request({ method: 'eth_getCode', params: [address, 'latest'] });
}

/** A contract of these bytes at a fresh address. */
async function placed(code: string): Promise<Address> {
  const address = newAddress();
  await world.chain.evm.request({ method: 'hardhat_setCode', params: [address, `0x${code}`] });
  return address;
}

test('[I-29] a wallet that stands on the chain signs as its owner does, and for nobody else', async () => {
  const wallet = await made(SALT);
  const { holds: isSigned, block } = await chain.signatureHolds({
    wallet,
    digest: DIGEST,
    signature: await sign(owner),
  });
  assert.equal(isSigned, true);
  assert.deepEqual(block, await chain.header(block.number), 'it says as of which block');
  assert.equal(await holds(wallet, await sign(stranger)), false);
  assert.equal(await holds(wallet, await owner.signMessage({ message: 'another text' })), false);
  for (const signature of ['0x', '0x0', '0x00', `0x${'ab'.repeat(65)}`, '0xzz'] as Hex[])
    assert.equal(await holds(wallet, signature), false, signature);
});

test('[I-29] a wallet that is not made yet signs by what makes it, and stays unmade', async () => {
  const salt = toHex(8, { size: 32 });
  const wallet = await predicted(salt);
  const wrapped = async (by: PrivateKeyAccount, data = makingOf(salt), address = factory): Promise<Hex> =>
    serializeErc6492Signature({ address, data, signature: await sign(by) });
  assert.equal(await holds(wallet, await wrapped(owner)), true);
  assert.equal(await codeOf(wallet), '0x', 'it was made');
  assert.equal(await holds(wallet, await sign(owner)), false, 'nothing makes it');
  assert.equal(await holds(wallet, await wrapped(stranger)), false, 'another owner');
  assert.equal(await holds(newAddress(), await wrapped(owner)), false, 'another address');
  assert.equal(await holds(wallet, await wrapped(owner, makingOf(SALT))), false, 'it makes another wallet');
  assert.equal(await holds(wallet, await wrapped(owner, '0x', newAddress())), false, 'no factory');
  await made(salt);
  assert.equal(await holds(wallet, await wrapped(owner)), true, 'made meanwhile, the wrapper says nothing more');
  assert.equal(await holds(wallet, await wrapped(stranger)), false);
});

test('a wrapper around nothing is no signature', async () => {
  const magic = '64926492'.repeat(8);
  const wallet = await made(SALT);
  for (const inside of ['', '00', 'ff'.repeat(96), '00'.repeat(96)])
    assert.equal(await holds(wallet, `0x${inside}${magic}`), false, inside);
});

test('a signature is as long as its cap, and no longer', async () => {
  const answersAll = await placed('631626ba7e60e01b60005260206000f3');
  assert.equal(await holds(answersAll, `0x${'ab'.repeat(SIGNATURE_BYTES_MAX)}`), true);
  assert.equal(await holds(answersAll, `0x${'ab'.repeat(SIGNATURE_BYTES_MAX + 1)}`), false);
});

/** Each answers something that a careless reader could take for yes. */
const HOSTILE: [string, string][] = [
  ['reverts', '60006000fd'],
  ['reverts with a megabyte', '621000006000fd'],
  ['burns all gas in a loop', '5b600056'],
  ['burns all gas at once', 'fe'],
  ['answers nothing', '00'],
  ['answers true', '600160005260206000f3'],
  ['answers a megabyte', '621000006000f3'],
  ['answers the question', '366000600037366000f3'],
  ['answers four bytes', '631626ba7e60e01b60005260046000f3'],
  ['answers from the wrong side', '631626ba7e60005260206000f3'],
  ['answers with something behind', `7f1626ba7e${'ff'.repeat(28)}60005260206000f3`],
  ['writes before it answers', '6001600055631626ba7e60e01b60005260206000f3'],
  ['agrees in a rehearsal', '3215600a5760006000fd5b631626ba7e60e01b60005260206000f3'],
  ['agrees with nobody', '3315600a5760006000fd5b631626ba7e60e01b60005260206000f3'],
];
for (const [what, code] of HOSTILE)
  test(`[I-29] no signature: a contract that ${what}`, async () => {
    assert.equal(await holds(await placed(code), await sign(owner)), false);
  });

test('[I-29] neither an address without a contract nor the token signs anything', async () => {
  assert.equal(await holds(owner.address, await sign(owner)), false, 'an address that is no contract has its own way');
  assert.equal(await holds(world.config.token, await sign(owner)), false);
  for (const precompiled of [1, 2, 4])
    assert.equal(await holds(toHex(precompiled, { size: 20 }), await sign(owner)), false);
});

test('a factory that burns gas, reverts or answers a megabyte costs no more than its part', async () => {
  const signature = await sign(owner);
  for (const code of ['fe', '5b600056', '621000006000fd', '621000006000f3']) {
    const wrapped = serializeErc6492Signature({ address: await placed(code), data: '0x12', signature });
    assert.equal(await holds(newAddress(), wrapped), false);
    assert.equal(await holds(await made(SALT), wrapped), true, 'where the wallet stands nothing is made');
  }
});

test('an address with a key that lets a contract act for it (EIP-7702) may sign as that contract does', async () => {
  const wallet = await made(SALT);
  const keyed = await world.wallet(0n);
  const client = createWalletClient({ account: keyed, transport: custom(world.chain, { retryCount: 0 }) });
  const { chainId } = world.chain;
  const authorization = await client.signAuthorization({ contractAddress: wallet, chainId, executor: 'self' });
  await client.sendTransaction({ to: keyed.address, authorizationList: [authorization], gas: 200_000n, chain: null });
  assert.match(String(await codeOf(keyed.address)), /^0xef0100/);
  assert.equal(await holds(keyed.address, await sign(owner)), true);
  assert.equal(await holds(keyed.address, await sign(stranger)), false);
});

/** Passes everything on, and changes what the chain answered to calls. */
async function proxied(change: (result: unknown) => object): Promise<{ url: string; server: Server }> {
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await Array.fromAsync(request)).toString();
    const asked = JSON.parse(body) as Call | Call[];
    const answer = (await (await fetch(world.url, { method: 'POST', body })).json()) as Answer | Answer[];
    const calls = [asked].flat();
    const changed = [answer].flat().map((one) => {
      const { method, params } = calls.find(({ id }) => id === one.id)!;
      const isCheck = method === 'eth_call' && (params[0] as { to?: string }).to === undefined;
      return isCheck ? { jsonrpc: '2.0', id: one.id, ...change(one.result) } : one;
    });
    response.end(JSON.stringify(Array.isArray(asked) ? changed : changed[0]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

interface Call {
  id: number;
  method: string;
  params: unknown[];
}
interface Answer {
  id: number;
  result?: unknown;
}

const word = (value: number) => (): object => ({ result: toHex(value, { size: 32 }) });
const FAULTS: [string, (result: unknown) => object, ChainFault['kind']][] = [
  ['says no where the other says yes', word(2), 'disagreement'],
  ['knows no contract there', word(1), 'disagreement'],
  ['gives too little gas', word(4), 'unreachable'],
  ['answers nothing', () => ({ result: '0x' }), 'unreachable'],
  ['answers something else', word(77), 'unreachable'],
  ['refuses', () => ({ error: { code: -32_005, message: 'too many requests' } }), 'unreachable'],
  ['claims that the check reverted', () => ({ error: { code: 3, message: 'execution reverted' } }), 'unreachable'],
];
for (const [what, change, kind] of FAULTS)
  test(`[I-29] no verdict: an endpoint that ${what}`, async () => {
    const { url, server } = await proxied(change);
    const config: ChainConfig = { ...world.config, rpcUrls: [world.url, url] };
    const two = await openChain(config);
    const wallet = await made(SALT);
    await assert.rejects(holds(wallet, await sign(owner), two), (fault) => {
      assert.ok(fault instanceof ChainFault);
      assert.equal(fault.kind, kind, fault.message);
      return true;
    });
    server.close();
    server.closeAllConnections();
    await assert.rejects(holds(wallet, await sign(owner), two), { kind: 'unreachable' }, 'and when it is gone');
  });
