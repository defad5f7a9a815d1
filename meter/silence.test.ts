/** A machine that is not heard: since when, and what it may still have been paid for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTEMPT_MS_MAX, lastTicketEndsMs, newContact, silenceAfter } from './silence.ts';

const step = (seq: number, fromMs: number, toMs: number) => ({
  seq,
  starts_at_us: String(fromMs * 1_000),
  ends_at_us: String(toMs * 1_000),
  price_micros: '14',
});
const at = (startedAtMs: number, endedAtMs: number) => ({ startedAtMs, endedAtMs, pausedMs: 2_000 });

for (const [title, silentMs, attempt, heardAtMs, expected] of [
  ['grows with every failed attempt', 4_000, at(10_000, 11_000), Number.NEGATIVE_INFINITY, 7_000],
  [
    'grows by little while this program stood still',
    0,
    at(0, 900_000),
    Number.NEGATIVE_INFINITY,
    ATTEMPT_MS_MAX + 2_000,
  ],
  ['is no longer than the time since the machine answered somebody', 30_000, at(10_000, 11_000), 10_400, 600],
  ['is nothing when it answers somebody else meanwhile', 30_000, at(10_000, 11_000), 11_000, 0],
] as const)
  test(`silence ${title}`, () => assert.equal(silenceAfter(silentMs, attempt, { heardAtMs }), expected));

test('a contact remembers the last answer', () => {
  let nowMs = 5;
  const contact = newContact(() => nowMs);
  contact.heard();
  nowMs = 9;
  assert.equal(contact.heardAtMs, 5);
});

const QUANTUM_MS = 2_000;
const SOLD = [step(1, 100_000, 102_000), step(2, 102_000, 104_000), step(3, 104_000, 106_000)];

for (const [title, startedAtMs, silentSinceMs, expectedMs] of [
  ['what was sold before the silence may have run to its end', 100_000, 101_500, 104_000],
  ['what was sold later has not reached it', 100_000, 100_000, 102_000],
  ['a silence from before its start is none: it was heard when it started', 100_000, 90_000, 102_000],
  ['one that never said it had started ran at most until the silence', null, 99_000, 99_000],
] as const)
  test(`[I-01] [I-06] ${title}`, () => {
    const started_at_us = startedAtMs === null ? null : String(startedAtMs * 1_000);
    const sandbox = { open_steps: SOLD, quantum_ms: QUANTUM_MS, started_at_us };
    assert.equal(lastTicketEndsMs(sandbox, silentSinceMs), expectedMs);
  });
