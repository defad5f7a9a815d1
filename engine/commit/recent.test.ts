/** What is remembered of a shard is bounded by memory: the oldest goes first, one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Recent } from './recent.ts';

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const step = fc.record({ name: names, bytes: fc.integer({ min: 1, max: 40 }), what: fc.constantFrom('set', 'delete') });

test('what fits stays, in the order of its last use, whatever was set or deleted before', () => {
  const histories = fc.array(step, { maxLength: 60 });
  fc.assert(
    fc.property(histories, (history) => {
      const recent = new Recent<number>(100, (bytes) => bytes);
      let wanted: [string, number][] = [];
      for (const { name, bytes, what } of history) {
        wanted = wanted.filter(([other]) => other !== name);
        if (what === 'delete') recent.delete(name);
        else {
          recent.set(name, bytes);
          wanted.push([name, bytes]);
        }
      }
      recent.trim();
      while (wanted.reduce((sum, [, bytes]) => sum + bytes, 0) > 100) wanted.shift();
      assert.equal(recent.size, wanted.length);
      for (const [name, bytes] of wanted) assert.equal(recent.get(name), bytes);
    }),
  );
});

test('nothing is forgotten before it is asked to forget', () => {
  const recent = new Recent<undefined>(10, () => 4);
  for (const name of ['a', 'b', 'c', 'd']) recent.set(name, undefined);
  assert.equal(recent.size, 4);
  recent.trim();
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((name) => recent.has(name)),
    [false, false, true, true],
  );
  recent.clear();
  assert.deepEqual([recent.size, recent.has('d')], [0, false]);
});
