/** Payments of keys and of contract wallets on a real chain: what the token would take, and who is believed before it does. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type Address,
  BaseError,
  createPublicClient,
  type Hex,
  http,
  type PrivateKeyAccount,
  serializeErc6492Signature,
  toHex,
  zeroAddress,
} from 'viem';
import { artifactOf } from './artifacts.ts';
import type { Authorization } from './calls.ts';
import { type Chain, openChain } from './chain.ts';
import { bareSignature, isSignedByKey } from './payment-check.ts';
import { startTestChain, type TestChain } from './testing.ts';
import { signAuthorization } from './testing-payments.ts';
import { tokenWords } from './token-words.ts';

const FACTORY = artifactOf('DevelopmentWalletFactory');
const SALT = toHex(3, { size: 32 });

let world: TestChain;
let chain: Chain;
let owner: PrivateKeyAccount;
let wallet: Address;

before(async () => {
  world = await startTestChain();
  chain = await openChain(world.config);
  owner = await world.wallet(1_000n);
  const factory = await world.deploy(owner, FACTORY.abi, FACTORY.bytecode);
  const make = { address: factory, abi: FACTORY.abi, functionName: 'make', args: [owner.address, SALT] };
  await world.write(owner, make as unknown as Parameters<typeof world.write>[1]);
  const client = createPublicClient({ transport: http(world.url) });
  wallet = (await client.readContract({ ...make, functionName: 'predict' })) as Address;
  await world.chain.faucet.give({ to: wallet, micros: 1_000n, reference: 'wallet', withGas: false });
});
after(() => world[Symbol.asyncDispose]());

/** From `from`, signed by the owner's key. */
async function signed(from: Address, change: Partial<Authorization> = {}): Promise<Authorization> {
  const terms = { from, value: 5n, validBefore: 9_000_000_000n, nonce: toHex(1, { size: 32 }), ...change };
  return signAuthorization(world, owner, terms);
}

test('a key’s payment is believed by its signature, and by nothing else', async () => {
  const payment = await signed(owner.address);
  assert.equal(isSignedByKey(chain, payment), true);
  for (const change of [{ value: 6n }, { to: wallet }, { validBefore: 1n }, { nonce: toHex(2, { size: 32 }) }])
    assert.equal(isSignedByKey(chain, { ...payment, ...change }), false);
  assert.equal(await chain.simulateAuthorization(payment), undefined);
});

test('a contract wallet’s payment is believed when the token takes it in a rehearsal', async () => {
  const payment = await signed(wallet);
  assert.equal(isSignedByKey(chain, payment), false);
  assert.equal(await chain.simulateAuthorization(payment), undefined);
  const forged = { ...payment, signature: `0x${'11'.repeat(65)}` as Hex };
  assert.equal(await chain.simulateAuthorization(forged), 'its signature is not its payer’s, of these terms');
});

test('what the token has against a payment is told in words, with amounts and times', async () => {
  const rows: [Partial<Authorization>, string][] = [
    [{ value: 2_000n }, `${wallet} holds $0.001 of it, and $0.002 is to leave`],
    [{ validBefore: 7n }, 'it is good after second 0 and before second 7, and the chain’s clock is not there'],
    [{ to: zeroAddress }, `nothing can be sent to ${zeroAddress}`],
  ];
  for (const [change, words] of rows)
    assert.equal(await chain.simulateAuthorization(await signed(wallet, change)), words);
});

const failedWith = (data: Hex): BaseError =>
  new BaseError('it failed', { cause: Object.assign(new Error('reverted'), { data }) });

test('errors that a token does not share with others, and broken ones, are put in no words', () => {
  assert.equal(tokenWords(failedWith('0xd93c0665')), 'its owner has stopped all transfers');
  for (const data of ['0x', '0x12345678', '0xe450d38c', '0xe450d38c00'] as const)
    assert.equal(tokenWords(failedWith(data)), undefined, data);
  assert.equal(tokenWords(new BaseError('the endpoint is away')), undefined);
});

test('of a wrapper that brings what makes the wallet (ERC-6492) the token gets what the wallet itself takes', async () => {
  const { signature } = await signed(wallet);
  const wrapped = serializeErc6492Signature({ address: wallet, data: '0x1234', signature });
  assert.equal(bareSignature(wrapped), signature);
  assert.equal(bareSignature(signature), signature);
  const broken = `0x00${'6492'.repeat(16)}` as Hex;
  assert.equal(bareSignature(broken), broken);
});
