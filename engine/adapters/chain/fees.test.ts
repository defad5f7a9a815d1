/** What is offered for being mined, when endpoints say different things. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PublicClient } from 'viem';
import { ChainFault } from './endpoints.ts';
import { PRIORITY_WEI_MAX, suggestedFees } from './fees.ts';

/** An endpoint that says so. */
const endpoint = (priority: bigint, baseFeePerGas: bigint | null = 100n): PublicClient =>
  ({
    getBlockNumber: async () => 7n,
    getBlock: async () => ({ hash: '0x07', baseFeePerGas }),
    estimateMaxPriorityFeePerGas: async () => priority,
  }) as unknown as PublicClient;

const OFFERS: [string, bigint[], bigint][] = [
  ['one endpoint is believed', [3n], 3n],
  ['of two, the cheaper one', [3n, 9n], 3n],
  ['of three, the middle one: none can make it dear', [2n, PRIORITY_WEI_MAX, 3n], 3n],
  ['none can make it nothing either', [2n, 0n, 3n], 2n],
  ['never more than the cap', [PRIORITY_WEI_MAX * 9n], PRIORITY_WEI_MAX],
];

for (const [what, said, priorityWei] of OFFERS)
  test(`what a builder is offered: ${what}`, async () => {
    const fees = await suggestedFees(said.map((one) => endpoint(one)));
    assert.deepEqual(fees, { maxFeeWei: 200n + priorityWei, priorityWei });
  });

test('the chain’s own cap is lower than everybody’s, and no higher', async () => {
  assert.equal((await suggestedFees([endpoint(50n)], 10n)).priorityWei, 10n);
  const offered = await suggestedFees([endpoint(PRIORITY_WEI_MAX * 2n)], PRIORITY_WEI_MAX * 2n);
  assert.equal(offered.priorityWei, PRIORITY_WEI_MAX);
});

test('a base fee that endpoints differ in is none, and so is one that is not there', async () => {
  const isFault = (kind: string) => (fault: unknown) => fault instanceof ChainFault && fault.kind === kind;
  await assert.rejects(suggestedFees([endpoint(1n), endpoint(1n, 101n)]), isFault('disagreement'));
  await assert.rejects(suggestedFees([endpoint(1n, null)]), isFault('misconfigured'));
});
