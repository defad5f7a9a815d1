/** A loop that waits is woken by a poke, by its time and by its end, and by nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Poke } from './poke.ts';

const LONG_MS = 60_000;

test('a poke wakes who waits, is remembered when nobody does, and wakes once', async () => {
  const poke = new Poke();
  const { signal } = new AbortController();
  const waiting = poke.wait(LONG_MS, signal);
  poke.poke();
  await waiting;
  poke.poke();
  poke.poke();
  await poke.wait(LONG_MS, signal);
  const beforeMs = performance.now();
  await poke.wait(20, signal);
  assert.ok(performance.now() - beforeMs >= 15, 'two pokes are one');
});

test('the end of the program ends the wait', async () => {
  const end = new AbortController();
  const waiting = new Poke().wait(LONG_MS, end.signal);
  end.abort();
  await waiting;
});
