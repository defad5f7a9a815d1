/** Streams that came since: each told once, whatever the page, and nothing read again when there are none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decider } from '@tallystick/kernel';
import { Newcomers } from './newcomers.ts';
import { newTestEngine, TEST_RULES } from './testing.ts';

const thing: Decider<{ colour: string }> = {
  kind: 'thing',
  initial: { colour: '' },
  reads: () => ({}),
  decide: (_state, { body }) => ({ events: [{ type: 'Made', body }] }),
  evolve: (_state, { body }) => ({ colour: String(body['colour']) }),
  owner: () => null,
};

test('each stream is told once, newest first, and only what the filter wants', async () => {
  const rules = { ...TEST_RULES, deciders: new Map([[thing.kind, thing as unknown as Decider]]) };
  await using engine = await newTestEngine({ rules });
  const newcomers = new Newcomers({ kind: 'thing', filter: { colour: 'red' } });
  let made = 0;
  const make = async (colour: string, count: number): Promise<string[]> => {
    const streams = Array.from({ length: count }, () => `thing:${made++}`);
    for (const stream of streams)
      await engine.execute({ principal: 'platform', key: stream, stream, type: 'Make', body: { colour } });
    return streams;
  };
  assert.deepEqual(await newcomers.ask(engine), []);
  for (const count of [1, 8, 0, 100, 9]) {
    const red = await make('red', count);
    await make('blue', 2);
    const told = await newcomers.ask(engine);
    assert.deepEqual(
      told.map(({ stream }) => stream),
      red.reverse(),
    );
  }
});
