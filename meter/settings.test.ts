/** Keys that sign on a chain are read from files that nobody else may read, and their limits are checked. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readMeterSettings } from './settings.ts';

function withKey(use: (file: string, env: Record<string, string>) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'tally-keys-'));
  const file = join(folder, 'key.seed');
  writeFileSync(file, `${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 });
  const seeds = { TALLY_LOG_KEY_FILE: file, TALLY_LEASE_KEY_FILE: file, TALLY_CALLER_KEY_FILE: file };
  try {
    use(file, { TALLY_DATA: folder, TALLY_WARDEN_SOCKET: 'socket', ...seeds });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('without key files nothing is signed on a chain; with them both keys are there', () => {
  withKey((file, env) => {
    const { chainKeys } = readMeterSettings(env);
    assert.deepEqual([chainKeys.relayerSeed, chainKeys.treasurySeed], [undefined, undefined]);
    assert.equal(chainKeys.sweepMinMicros, 1_000_000n);
    const keyed = readMeterSettings({ ...env, CHAIN_RELAYER_KEY_FILE: file, CHAIN_TREASURY_KEY_FILE: file });
    assert.deepEqual([keyed.chainKeys.relayerSeed?.length, keyed.chainKeys.treasurySeed?.length], [32, 32]);
  });
});

for (const name of ['CHAIN_RELAYER_KEY_FILE', 'CHAIN_TREASURY_KEY_FILE'])
  test(`refused: others may read the file of ${name}, or it holds no key`, () => {
    withKey((file, env) => {
      const other = `${file}.chain`;
      writeFileSync(other, Buffer.alloc(32, 9).toString('base64'), { mode: 0o600 });
      chmodSync(other, 0o640);
      assert.throws(() => readMeterSettings({ ...env, [name]: other }), /must have mode 0600/);
      writeFileSync(other, 'short');
      chmodSync(other, 0o600);
      assert.throws(() => readMeterSettings({ ...env, [name]: other }), /does not hold 32 bytes/);
    });
  });

test('refused: limits that are none', () => {
  withKey((_file, env) => {
    for (const name of ['CHAIN_SWEEP_MIN_MICROS', 'CHAIN_BUMP_MS'])
      assert.throws(() => readMeterSettings({ ...env, [name]: '0' }), new RegExp(`the setting ${name} is 0`));
  });
});
