/** When something was done last: the newest of what was said, in whichever order, and each name by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noteMoment, readMoment } from './moments.ts';
import { newTestEngine } from './testing.ts';

test('a moment is the newest that was noted under its name, and nothing before the first', async () => {
  await using engine = await newTestEngine();
  assert.equal(await readMoment(engine, 'look'), undefined);
  for (const atUs of [5n, 9n, 7n]) await noteMoment(engine, 'look', atUs);
  await noteMoment(engine, 'other', 8n);
  assert.deepEqual([await readMoment(engine, 'look'), await readMoment(engine, 'other')], [9n, 8n]);
});
