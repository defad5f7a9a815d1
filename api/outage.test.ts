/** What callers are told when the world behind the api does not answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '@tallystick/engine';
import { ProviderFault } from '@tallystick/engine/adapters/provider';
import { toldAsOutage } from './outage.ts';

const bug = new TypeError('a bug');
const refused = new ProviderFault('refused', 'no_room', 'no room');

for (const [title, fault, code] of [
  ['a database that does not answer', new Fault('it does not answer'), 'OUTCOME_UNKNOWN'],
  ['a machine that does not answer', new ProviderFault('unreachable', 'unreachable', 'silent'), 'PROVIDER_UNREACHABLE'],
] as const)
  test(`${title} is told as ${code}, with a time to wait`, async () => {
    const asked = toldAsOutage(() => Promise.reject(fault));
    await assert.rejects(asked, (told: { code: string; facts: { retry_after_ms: number } }) => {
      assert.equal(told.code, code);
      return told.facts.retry_after_ms > 0;
    });
  });

for (const fault of [bug, refused])
  test(`${fault.message} stays what it is`, async () => {
    await assert.rejects(
      toldAsOutage(() => Promise.reject(fault)),
      fault,
    );
  });
