/** What is sent to a chain: each role's calls and no others, within the caps, and only receipts say what became of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Address, Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import type { Authorization, ChainCall } from './calls.ts';
import { type Chain, openChain } from './chain.ts';
import { ChainFault } from './endpoints.ts';
import { bumpedFees, FEE_WEI_MAX } from './fees.ts';
import { roleSigner, type SigningTerms } from './role-signer.ts';
import { newAddress, startTestChain, type TestChain } from './testing.ts';
import { signAuthorization } from './testing-payments.ts';

const seedOf = (name: string): Buffer => createHash('sha256').update(name).digest();
const keyOf = (name: string) => privateKeyToAccount(`0x${seedOf(name).toString('hex')}`);
const TREASURY = keyOf('treasury').address.toLowerCase() as Address;
const PRINCIPAL = 'eip155:1:0x00000000000000000000000000000000000000aa';
const NONCE: Hex = `0x${'5a'.repeat(32)}`;

let world: TestChain;
let chain: Chain;
before(async () => {
  world = await startTestChain(TREASURY);
  chain = await openChain(world.config);
  for (const name of ['relayer', 'treasury', 'payer'])
    await world.chain.faucet.give({ to: keyOf(name).address, micros: 100n, reference: name, withGas: true });
});
after(() => world[Symbol.asyncDispose]());

const signerOf = (role: 'relayer' | 'treasury') =>
  roleSigner({ role, seed: seedOf(role), chainId: chain.chainId, places: world.config });

async function authorization(change: Partial<Authorization> = {}): Promise<Authorization> {
  const terms = { to: TREASURY, value: 7n, validBefore: 2n ** 40n, nonce: NONCE, ...change };
  return signAuthorization(world, keyOf('payer'), terms);
}

async function termsFor(call: ChainCall, from: Address): Promise<SigningTerms> {
  const gas = await chain.gasOf(call, from);
  assert.equal(typeof gas, 'bigint', String(gas));
  return { nonce: await chain.transactionCount(from), gas: gas as bigint, ...(await chain.fees()) };
}

test('a relayer carries a payment to the treasury; sent again it says so and nothing moves twice', async () => {
  const signer = signerOf('relayer');
  const call = { kind: 'authorization', authorization: await authorization() } as const;
  assert.equal(await chain.simulateAuthorization(call.authorization), undefined);
  assert.equal(await chain.authorizationState(call.authorization.from, NONCE), false);
  const before = await chain.balanceOf(TREASURY);
  const { raw, hash } = await signer.sign(call, await termsFor(call, signer.address));
  assert.equal(await chain.receiptOf(hash), undefined);
  assert.equal(await chain.send(raw), undefined);
  assert.notEqual(await chain.send(raw), undefined);
  const mined = await chain.receiptOf(hash);
  assert.deepEqual([mined?.succeeded, mined?.block], [true, await chain.head()]);
  assert.equal(await chain.balanceOf(TREASURY), before + 7n);
  assert.equal(await chain.authorizationState(call.authorization.from, NONCE), true);
  assert.equal(await chain.authorizationState(call.authorization.from, NONCE, mined!.block.number - 1n), false);
  assert.match(
    (await chain.simulateAuthorization(call.authorization))!,
    /^the nonce 0x(5a){32}.* is used or was taken back$/,
  );
  assert.equal(typeof (await chain.gasOf(call, signer.address)), 'string');
});

test('a treasury transfers, and a relayer sweeps deposit addresses into it', async () => {
  const [treasury, relayer, somebody] = [signerOf('treasury'), signerOf('relayer'), newAddress()];
  const transfer = { kind: 'transfer', to: somebody, micros: 5n } as const;
  const { raw } = await treasury.sign(transfer, await termsFor(transfer, treasury.address));
  await chain.send(raw);
  assert.equal(await chain.balanceOf(somebody), 5n);
  await world.pay(keyOf('payer'), chain.depositAddress(PRINCIPAL), 11n);
  const sweep = { kind: 'sweep', salts: [chain.saltOf(PRINCIPAL)] } as const;
  const before = await chain.balanceOf(TREASURY);
  const swept = await relayer.sign(sweep, await termsFor(sweep, relayer.address));
  await chain.send(swept.raw);
  assert.equal(await chain.balanceOf(TREASURY), before + 11n);
});

test('what the contract undoes is mined and did not succeed', async () => {
  const treasury = signerOf('treasury');
  const call = { kind: 'transfer', to: newAddress(), micros: 10n ** 15n } as const;
  const terms = { nonce: await chain.transactionCount(treasury.address), gas: 100_000n, ...(await chain.fees()) };
  const { raw, hash } = await treasury.sign(call, terms);
  await chain.send(raw);
  assert.equal((await chain.receiptOf(hash))?.succeeded, false);
});

const TERMS: SigningTerms = { nonce: 0n, gas: 100_000n, maxFeeWei: 10n, priorityWei: 1n };
const TRANSFER = { kind: 'transfer', to: newAddress(), micros: 1n } as const;
const REFUSALS: [string, 'relayer' | 'treasury', (paid: Authorization) => [ChainCall, SigningTerms], RegExp][] = [
  ['a relayer transfers the treasury’s dollars', 'relayer', () => [TRANSFER, TERMS], /signs no transfer/],
  ['a treasury sweeps', 'treasury', () => [{ kind: 'sweep', salts: [] }, TERMS], /signs no sweep/],
  [
    'a treasury settles',
    'treasury',
    (authorization) => [{ kind: 'authorization', authorization }, TERMS],
    /signs no auth/,
  ],
  [
    'a relayer carries a payment to somebody else',
    'relayer',
    (paid) => [{ kind: 'authorization', authorization: { ...paid, to: newAddress() } }, TERMS],
    /payments to the treasury/,
  ],
  ['a treasury pays itself', 'treasury', () => [{ ...TRANSFER, to: TREASURY }, TERMS], /to itself/],
  ['a fee beyond the cap', 'treasury', () => [TRANSFER, { ...TERMS, maxFeeWei: FEE_WEI_MAX + 1n }], /at most/],
  ['gas beyond the cap', 'treasury', () => [TRANSFER, { ...TERMS, gas: 200_001n }], /at most/],
];

for (const [what, role, asked, words] of REFUSALS)
  test(`refused: ${what}`, async () => {
    const [call, terms] = asked(await authorization());
    await assert.rejects(signerOf(role).sign(call, terms), words);
  });

test('keys that are mixed up are refused before anything is signed', () => {
  const of = (role: 'relayer' | 'treasury', seed: string) =>
    roleSigner({ role, seed: seedOf(seed), chainId: 1, places: world.config });
  assert.throws(() => of('treasury', 'relayer'), /the treasury is/);
  assert.throws(() => of('relayer', 'treasury'), /a key of its own/);
});

test('a replacement offers at least an eighth more of both fees, until the cap', () => {
  const now = { maxFeeWei: 1n, priorityWei: 0n };
  assert.deepEqual(bumpedFees({ maxFeeWei: 1_000n, priorityWei: 8n }, now), { maxFeeWei: 1_251n, priorityWei: 11n });
  assert.deepEqual(bumpedFees(now, { maxFeeWei: 90n, priorityWei: 9n }), { maxFeeWei: 90n, priorityWei: 9n });
  assert.deepEqual(bumpedFees({ maxFeeWei: 7n, priorityWei: 0n }, now), { maxFeeWei: 9n, priorityWei: 1n });
  assert.equal(bumpedFees({ maxFeeWei: FEE_WEI_MAX, priorityWei: 1n }, now), undefined);
});

test('blocks have times, and a chain that is away is a fault, not an answer', async () => {
  const { number } = await chain.head();
  assert.ok((await chain.blockTime(number))! > 1_700_000_000n);
  assert.equal(await chain.blockTime(number + 1_000n), undefined);
  await using other = await startTestChain(TREASURY);
  const gone = await openChain(other.config);
  await other[Symbol.asyncDispose]();
  const paid = await authorization();
  const isAway = (fault: unknown): boolean => fault instanceof ChainFault && fault.kind === 'unreachable';
  await assert.rejects(gone.simulateAuthorization(paid), isAway);
  await assert.rejects(gone.gasOf({ kind: 'authorization', authorization: paid }, TREASURY), isAway);
  assert.match((await gone.send('0x02'))!, /does not answer/);
});

/** Says yes to every signature, after 50 000 turns of a loop: 1.3 million units of gas. */
const BURNING_WALLET: Hex = (() => {
  const code = `6200c3505b6001900380600457507f1626ba7e${'00'.repeat(28)}60005260206000f3`;
  return `0x60${(code.length / 2).toString(16)}80600b6000396000f3${code}`;
})();

test('a contract wallet that burns what it is given is not carried, and neither accepted', async () => {
  const payer = keyOf('payer');
  const burner = await world.deploy(payer, [], BURNING_WALLET);
  await world.pay(payer, burner, 7n);
  const paid = {
    ...(await authorization()),
    from: burner,
    nonce: `0x${'5b'.repeat(32)}` as Hex,
    signature: '0x01' as Hex,
  };
  const gas = await chain.gasOf({ kind: 'authorization', authorization: paid }, signerOf('relayer').address);
  assert.match(String(gas), /more than the 300000/);
  assert.equal(typeof (await chain.simulateAuthorization(paid)), 'string');
});
