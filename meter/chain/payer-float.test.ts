/**
 * Payments of one payer who promised more than there is.
 * Promise: what is signed at once never comes to more than the payer holds, so that no gas is spent on what must fail.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signAuthorization } from '@tallystick/engine/adapters/chain/testing';
import { authorizationStream, type QuoteState, quoteIdOf, quoteStream } from '@tallystick/treasury';
import type { Hex } from 'viem';
import type { PrivateKeyAccount } from 'viem/accounts';
import { keyOf, newPayoutWorld, type PayoutWorld } from './testing.ts';

const ANN = 'eip155:1:0x00000000000000000000000000000000000000aa';
const USABLE_S = 600;

/** Bound while its payer had enough for all of them. Answers with the stream. */
async function bind(
  { ask, state, chain, test: given }: PayoutWorld,
  payer: PrivateKeyAccount,
  key: string,
  micros: bigint,
) {
  const { treasury, token } = given.config;
  const id = quoteIdOf(ANN, key);
  const stream = quoteStream(id);
  const options = [{ amount_micros: String(micros), label: 'shortfall' }];
  const offer = { key, fingerprint: '0'.repeat(64), options, rail: chain.key, network: '', token };
  await ask(stream, 'OfferQuote', { ...offer, pay_to: treasury.toLowerCase() }, ANN);
  const { auth_nonce: nonce } = await state<QuoteState>(stream);
  const validBefore = BigInt(Math.floor(Date.now() / 1_000) + USABLE_S);
  const { signature } = await signAuthorization(given, payer, { value: micros, validBefore, nonce: nonce as Hex });
  const [from, to] = [payer.address.toLowerCase(), treasury.toLowerCase()];
  const assignment = { rail: chain.key, payer: from, nonce, quote: id };
  await ask(authorizationStream(chain.key, from, nonce), 'AssignAuthorization', assignment, ANN);
  const terms = { value: String(micros), valid_after: '0', valid_before: String(validBefore), nonce, signature };
  await ask(stream, 'BindQuote', { rail: chain.key, payment: { from, to, ...terms }, cover_micros: '1000000000' }, ANN);
  return stream;
}

test('[I-45] payments of one payer are signed as far as its dollars reach; the others follow when there are more', async () => {
  await using world = await newPayoutWorld();
  await world.ask('ledger:platform', 'OpenLedger', { providers: [] });
  const payer = await world.test.wallet(100n);
  const streams: string[] = [];
  for (let n = 0; n < 6; n++) streams.push(await bind(world, payer, `of-one-${n}`, 40n));
  const counted = async (status: string): Promise<number> =>
    (await Promise.all(streams.map((stream) => world.state(stream)))).filter((state) => state.status === status).length;
  let nowMs = 0;
  const broadcaster = world.broadcaster({ nowMs: () => (nowMs += 60_000) });
  await world.automine(false);
  await Promise.all(streams.map((stream) => broadcaster.carry(stream)));
  await broadcaster.look();
  assert.deepEqual([await counted('signed'), await counted('bound')], [2, 4]);
  await world.automine(true);
  await world.test.mine(1);
  for (let look = 0; look < 3; look++) await broadcaster.look();
  assert.equal(await world.chain.balanceOf(payer.address), 20n);
  assert.equal(await world.chain.transactionCount(keyOf('relayer').address), 2n, 'nothing was tried in vain');
  await world.test.pay(await world.test.wallet(150n), payer.address, 150n);
  for (let look = 0; look < 6; look++) await broadcaster.look();
  assert.equal(await world.chain.balanceOf(payer.address), 10n);
  assert.equal(await world.chain.transactionCount(keyOf('relayer').address), 6n);
});
