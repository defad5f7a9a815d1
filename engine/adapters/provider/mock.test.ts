/** The in-memory provider keeps the contract, and does what only a virtual clock can show. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { signingKeyFromSeed } from '@tallystick/kernel';
import { type ContractRig, providerContract } from './contract.ts';
import { mockProvider } from './mock.ts';
import { ProviderFault } from './port.ts';

const leaseKey = signingKeyFromSeed(Buffer.alloc(32, 1));

function mockRig() {
  let nowMs = 1_800_000_000_000;
  const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
  const provider = mockProvider({ leaseKey: leaseKey.publicKey, clock });
  const pass = async (ms: number): Promise<void> => {
    nowMs += ms;
  };
  return { provider, leaseKey, nowMs: () => nowMs, pass };
}

describe('mock provider', () => {
  const rig: ContractRig = mockRig();
  providerContract(() => rig);
});

test('out of reach, it says so', async () => {
  const { provider } = mockRig();
  provider.isReachable = false;
  await assert.rejects(provider.list(), (fault) => fault instanceof ProviderFault && fault.kind === 'unreachable');
  provider.isReachable = true;
  assert.deepEqual(await provider.list(), []);
});

test('a restart is another boot with no sandbox', async () => {
  const { provider } = mockRig();
  const before = await provider.events(0, 0);
  provider.restart();
  const after = await provider.events(0, 0);
  assert.notEqual(after.boot_id, before.boot_id);
  assert.deepEqual(after.events, []);
});
