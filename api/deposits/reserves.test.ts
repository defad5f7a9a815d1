// What the public is told of reserves, on a real chain: equal books, and no more questions than there is money to ask for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noteMoment } from '@tallystick/engine';
import { type Chain, openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain, withBalances } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import type { JsonObject } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { addressStream, depositIdOf, depositStream, railStream, reservesMoment } from '@tallystick/treasury';
import { timestampFromUs } from '../view-parts.ts';
import type { Desk } from './desk.ts';
import { reservesReader } from './reserves.ts';

type Address = `0x${string}`;

const STRANGERS = 20;

async function newScene() {
  const engine = await newTestEngine({ rules: RULES });
  const given = await startTestChain();
  const chain = await openChain(given.config);
  const ask = async (stream: string, type: string, body: JsonObject = {}): Promise<void> => {
    const { rejection } = await engine.execute({ principal: 'platform', key: `${stream}${type}`, stream, type, body });
    assert.equal(rejection, undefined, `${type} of ${stream}`);
  };
  await ask('ledger:platform', 'OpenLedger', { providers: [] });
  const { token, treasury, factory } = given.config;
  await ask(railStream(chain.key), 'OpenRail', { token, treasury, factory });
  return {
    given,
    chain,
    ask,
    treasury: treasury.toLowerCase() as Address,
    /** Of a chain whose answers about balances somebody listens to. */
    reader: (onBalance: (address: string) => Promise<void>) => {
      const heard = withBalances(chain, async (address) => {
        const micros = await chain.balanceOf(address);
        await onBalance(address.toLowerCase());
        return micros;
      });
      return reservesReader(() => ({ engine, link: { chain: async () => heard } }) as unknown as Desk);
    },
    /** Pays; what is called then is a watcher that sees it. Without a principal it is the payer's own money. */
    async pay(payee: Address, principal?: string): Promise<() => Promise<void>> {
      const payer = await given.wallet(500n);
      const own = `eip155:${chain.chainId}:${payer.address.toLowerCase()}`;
      await ask(`account:${own}`, 'OpenAccount');
      const tx = await given.pay(payer, payee, 300n);
      const [{ block, ordinal }] = (await chain.transfersIn(tx, payee)) as [Awaited<ReturnType<Chain['transfers']>>[0]];
      const seen = {
        ...{ rail: chain.key, tx, ordinal: String(ordinal), block: String(block.number), block_hash: block.hash },
        ...{ payer: payer.address.toLowerCase(), payee, amount_micros: '300', principal: principal ?? own },
      };
      return () => ask(depositStream(depositIdOf(chain.key, { tx, ordinal })), 'SeeDeposit', seen);
    },
    /** What a meter notes. */
    looked: (atUs: bigint) => noteMoment(engine, reservesMoment(chain.key), atUs),
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await given[Symbol.asyncDispose]();
    },
  };
}

const principalOf = (n: number): string => `eip155:1:0x${String(n).padStart(40, '0')}`;

test('addresses that nobody ever paid cost the chain no question', async () => {
  await using scene = await newScene();
  const { chain, ask, treasury } = scene;
  for (let n = 0; n < STRANGERS; n++) {
    const [principal, address] = [principalOf(n), chain.depositAddress(principalOf(n)).toLowerCase()];
    await ask(addressStream(chain.key, address), 'AssignAddress', { rail: chain.key, address, principal });
  }
  const asked: string[] = [];
  const read = scene.reader(async (address) => void asked.push(address));
  assert.equal((await read()).isEqual, true);
  assert.deepEqual(asked, [treasury]);
  const payee = chain.depositAddress(principalOf(7)).toLowerCase() as Address;
  await (await scene.pay(payee, principalOf(7)))();
  asked.length = 0;
  const { isEqual, reserves } = await read();
  assert.deepEqual([isEqual, reserves.map(({ chainMicros }) => chainMicros)], [true, [0n, 300n]]);
  assert.deepEqual(asked, [treasury, payee]);
});

test('money that the watcher is about to see is no difference', async () => {
  await using scene = await newScene();
  const see = await scene.pay(scene.treasury);
  let questions = 0;
  const { isEqual, reserves } = await scene.reader(async () => {
    questions += 1;
    if (questions === 2) await see();
  })();
  const [treasury] = reserves;
  assert.deepEqual([isEqual, treasury!.pendingMicros, treasury!.chainMicros], [true, 300n, 300n]);
});

test('what nobody sees for a moment is told as a difference', async () => {
  await using scene = await newScene();
  await scene.pay(scene.treasury);
  const { isEqual, reserves } = await scene.reader(async () => undefined)();
  assert.deepEqual([isEqual, reserves[0]!.pendingMicros, reserves[0]!.chainMicros], [false, 0n, 300n]);
});

test('when the platform itself looked last is told, and nothing before it did', async () => {
  await using scene = await newScene();
  const read = scene.reader(async () => undefined);
  assert.equal('lookedAt' in (await read()), false);
  await scene.looked(1_700_000_000_000_000n);
  assert.deepEqual(((await read()) as { lookedAt?: unknown }).lookedAt, timestampFromUs(1_700_000_000_000_000n));
});
