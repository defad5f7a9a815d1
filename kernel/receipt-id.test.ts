/** Receipt ids: a place becomes an id and comes back, nothing else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isId } from './ids.ts';
import { receiptIdOf, receiptPlace, SHARD_MAX } from './receipt-id.ts';

const PLACE = fc.record({
  shard: fc.integer({ min: 0, max: SHARD_MAX }),
  pos: fc.maxSafeNat(),
  atMs: fc.integer({ min: 0, max: 2 ** 47 }),
});

test('a place becomes a receipt id and comes back', () => {
  fc.assert(
    fc.property(PLACE, fc.integer({ min: 0, max: 999 }), (place, us) => {
      const id = receiptIdOf(place.shard, place.pos, BigInt(place.atMs) * 1000n + BigInt(us));
      assert.ok(isId('rcp', id));
      assert.deepEqual(receiptPlace(id), { ...place });
    }),
  );
});

for (const text of [
  '',
  'rcp_12',
  'job_0193a0b0c0d070008000000000000001',
  'rcp_0193a0b0c0d0700080000000000000z1',
  'rcp_0193a0b0c0d070008fffffffffffffff',
])
  test(`${text || 'nothing'} is no receipt id`, () => assert.equal(receiptPlace(text), undefined));
