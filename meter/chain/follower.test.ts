/**
 * What becomes of a signed transaction while several meters and a changing chain look at it at once.
 * Promise: what one meter knew too early never gives back what another one paid.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Chain } from '@tallystick/engine/adapters/chain';
import { fresh, newPayoutWorld } from './testing.ts';

test('[I-38] a meter that looked before another one’s replacement, on a chain that changed meanwhile, gives back nothing that was paid', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  const stream = await world.hold('replaced-meanwhile', to, 5n);
  const silent = { ...world.chain, send: async () => 'never left' } as Chain;
  await world.broadcaster({ chain: silent }).carry(stream);
  const undo = await world.test.snapshot();
  await world.test.mine(3);
  await world.automine(false);
  let isChanged = false;
  const changing: Chain = {
    ...world.chain,
    async transactionCount(...asked) {
      if (!isChanged) await otherBlocks();
      return world.chain.transactionCount(...asked);
    },
  };
  /** In place of blocks that the meter has seen come others of the same numbers, which hold the replacement. */
  async function otherBlocks(): Promise<void> {
    isChanged = true;
    await undo();
    await world.broadcaster({ bumpMs: 0 }).look();
    await world.test.mine(3);
  }
  const late = world.broadcaster({ chain: changing });
  await late.look();
  const { status, broadcast } = await world.state(stream);
  assert.deepEqual([isChanged, status, broadcast.attempts.length], [true, 'signed', 2]);
  assert.equal(await world.chain.balanceOf(to), 5n, 'the replacement paid it');
  await late.look();
  const { status: after, broadcast: seen } = await world.state(stream);
  assert.deepEqual([after, seen.hash], ['final', broadcast.attempts[1]!.hash]);
});
