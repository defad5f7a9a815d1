// What the public is told of reserves, on a real chain: equal books, and no more questions than there is money to ask for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Chain, openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain, withBalances } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import type { JsonObject } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { addressStream, depositIdOf, depositStream, railStream } from '@tallystick/treasury';
import type { Desk } from './desk.ts';
import { reservesReader } from './reserves.ts';

const STRANGERS = 20;

test('addresses that nobody ever paid cost the chain no question', async () => {
  await using engine = await newTestEngine({ rules: RULES });
  await using given = await startTestChain();
  const chain = await openChain(given.config);
  const ask = async (stream: string, type: string, body: JsonObject = {}): Promise<void> => {
    const { rejection } = await engine.execute({ principal: 'platform', key: `${stream}${type}`, stream, type, body });
    assert.equal(rejection, undefined, `${type} of ${stream}`);
  };
  await ask('ledger:platform', 'OpenLedger', { providers: [] });
  const { token, treasury, factory } = given.config;
  await ask(railStream(chain.key), 'OpenRail', { token, treasury, factory });
  const principals = Array.from({ length: STRANGERS }, (_, n) => `eip155:1:0x${String(n).padStart(40, '0')}`);
  for (const principal of principals) {
    const address = chain.depositAddress(principal).toLowerCase();
    await ask(addressStream(chain.key, address), 'AssignAddress', { rail: chain.key, address, principal });
  }
  const asked: string[] = [];
  const counting = withBalances(chain, (address) => {
    asked.push(address.toLowerCase());
    return chain.balanceOf(address);
  });
  const read = reservesReader(() => ({ engine, link: { chain: async () => counting } }) as unknown as Desk);
  assert.equal((await read()).isEqual, true);
  assert.deepEqual(asked, [treasury.toLowerCase()]);
  const [principal, payer] = [principals[7]!, await given.wallet(500n)];
  const payee = chain.depositAddress(principal).toLowerCase() as `0x${string}`;
  const tx = await given.pay(payer, payee, 300n);
  const [{ block, ordinal }] = (await chain.transfersIn(tx, payee)) as [Awaited<ReturnType<Chain['transfers']>>[0]];
  await ask(depositStream(depositIdOf(chain.key, { tx, ordinal })), 'SeeDeposit', {
    ...{ rail: chain.key, tx, ordinal: String(ordinal), block: String(block.number), block_hash: block.hash },
    ...{ payer: payer.address.toLowerCase(), payee, amount_micros: '300', principal },
  });
  asked.length = 0;
  const { isEqual, reserves } = await read();
  assert.deepEqual([isEqual, reserves.map(({ chainMicros }) => chainMicros)], [true, [0n, 300n]]);
  assert.deepEqual(asked, [treasury.toLowerCase(), payee]);
});
