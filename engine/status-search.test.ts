/** Streams of a status by what they contain: all that match, page by page, and never more work than was allowed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decider } from '@tallystick/kernel';
import { streamsOfStatusWith } from './read.ts';
import { newTestEngine, TEST_RULES } from './testing.ts';

type Thing = { status: string; colour: string };

const thing: Decider<Thing> = {
  kind: 'thing',
  initial: { status: '', colour: '' },
  reads: () => ({}),
  decide: (_state, { body }) => ({ events: [{ type: 'Made', body }] }),
  evolve: (_state, { body }) => body as Thing,
  owner: () => null,
};
const rules = { ...TEST_RULES, deciders: new Map([[thing.kind, thing as unknown as Decider]]) };

test('of the streams of a status those with a content are found, newest first, among as many as may be looked through', async () => {
  await using engine = await newTestEngine({ rules });
  const things: Thing[] = [
    { status: 'lost', colour: 'red' },
    { status: 'lost', colour: 'blue' },
    { status: 'found', colour: 'red' },
    { status: 'lost', colour: 'red' },
    { status: 'lost', colour: 'blue' },
  ];
  for (const [n, body] of things.entries())
    await engine.execute({ principal: 'platform', key: `${n}`, stream: `thing:${n}`, type: 'Make', body });
  const search = async (more: { limit: number; after?: number; lookMax?: number }) => {
    const rows = await streamsOfStatusWith(engine, {
      ...{ kind: 'thing', status: 'lost', filter: { colour: 'red' } },
      ...more,
    });
    return { names: rows.map(({ stream }) => stream), last: rows.at(-1)?.createdPos };
  };
  assert.deepEqual((await search({ limit: 9 })).names, ['thing:3', 'thing:0']);
  const { names, last } = await search({ limit: 1 });
  assert.deepEqual(names, ['thing:3']);
  assert.deepEqual((await search({ limit: 9, after: last! })).names, ['thing:0']);
  assert.deepEqual((await search({ limit: 9, lookMax: 3 })).names, ['thing:3'], 'the fourth is not looked at');
  assert.deepEqual((await search({ limit: 9, lookMax: 1 })).names, []);
});
