/** No payment is asked for that nobody could carry, and the chain is not asked for every question. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Chain, ChainFault, SETTLEMENT_GAS } from '@tallystick/engine/adapters/chain';
import { assertSettles, gasGauge } from './gas.ts';

const RELAYER = '0x00000000000000000000000000000000000000aa';
const PRICE = { maxFeeWei: 10n, priorityWei: 1n };

const chainWith = (settlements: bigint, asked = { times: 0 }): Chain =>
  ({
    nativeBalance: async () => {
      asked.times += 1;
      return settlements * SETTLEMENT_GAS * PRICE.maxFeeWei;
    },
    fees: async () => PRICE,
  }) as unknown as Chain;

test('with gas for some payments they are asked for; with too little they are not, and it is said', async () => {
  const [rich, poor] = [5n, 4n].map((left) => gasGauge({ chain: async () => chainWith(left) }, RELAYER));
  assert.deepEqual([await rich!.isEnough(), await poor!.isEnough()], [true, false]);
  await assertSettles(rich!, RELAYER);
  await assert.rejects(assertSettles(poor!, RELAYER), /has gas for 4 of them/);
});

test('a chain that is away is no lack of gas, and is told as what it is', async () => {
  const away = gasGauge({ chain: () => Promise.reject(new ChainFault('unreachable', 'away')) }, RELAYER);
  assert.equal(await away.isEnough(), true);
  await assert.rejects(assertSettles(away, RELAYER), /does not answer/);
});

test('the chain is asked once in ten seconds', async () => {
  const asked = { times: 0 };
  let nowMs = 0;
  const gauge = gasGauge({ chain: async () => chainWith(9n, asked) }, RELAYER, () => nowMs);
  await Promise.all([gauge.isEnough(), gauge.isEnough(), gauge.settlements()]);
  assert.equal(asked.times, 1);
  nowMs = 10_000;
  await gauge.isEnough();
  assert.equal(asked.times, 2);
});
