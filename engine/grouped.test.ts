/** Many small questions go as few large ones, each is answered as if it had been asked alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from './fault.ts';
import { grouped } from './grouped.ts';

test('what is asked while an answer is under way goes together, in order and in bounded groups', async () => {
  const sizes: number[] = [];
  const double = grouped(async (items: readonly number[]) => {
    sizes.push(items.length);
    return items.map((item) => item * 2);
  }, 10);
  const asked = Array.from({ length: 25 }, (_, i) => i);
  assert.deepEqual(
    await Promise.all(asked.map(double)),
    asked.map((i) => i * 2),
  );
  assert.deepEqual(sizes, [10, 10, 5]);
  assert.equal(await double(7), 14);
});

test('[I-26] a bad one fails alone, its company is answered', async () => {
  const ask = grouped(async (items: readonly number[]) => {
    if (items.includes(3)) throw new TypeError('three');
    return items;
  }, 10);
  const answers = await Promise.allSettled([1, 2, 3, 4].map(ask));
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
});

test('when the database is away nobody is asked about again: that is for the caller', async () => {
  let asked = 0;
  const ask = grouped(async (): Promise<number[]> => {
    asked++;
    throw new Fault('away');
  }, 10);
  const answers = await Promise.allSettled([1, 2, 3].map(ask));
  assert.ok(answers.every(({ status }) => status === 'rejected'));
  assert.equal(asked, 1);
});
