/** Settings of the api: what is wrong is named with what it must be. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SettingError } from '@tallystick/engine/program';
import { readApiSettings } from './settings.ts';

const WRONG: [env: Record<string, string>, says: RegExp][] = [
  [{ TALLY_PORT: 'x' }, /^the setting TALLY_PORT is x; it must be a whole number from 0 to 65535$/],
  [{ TALLY_CHAIN_IDS: '1,two' }, /^the setting TALLY_CHAIN_IDS names two; it must be whole numbers/],
  [{ TALLY_LOG_KEY_FILE: '/nowhere' }, /^the setting TALLY_LOG_KEY_FILE is \/nowhere; it must be a file/],
  [{ TALLY_ADMINS: 'me' }, /^the setting TALLY_ADMINS names me; it must be eip155:<chain>:<address>$/],
  [{ TALLY_PUBLIC_URL: 'example.org' }, /^the setting TALLY_PUBLIC_URL is no URL; it must begin with https:/],
  [{ TALLY_PORTS_PUBLIC_URL: 'ftp://x' }, /^the setting TALLY_PORTS_PUBLIC_URL is no URL; it must begin/],
  [{ TALLY_DEVELOPMENT: 'perhaps' }, /^the setting TALLY_DEVELOPMENT is perhaps; it must be 1 or 0$/],
  [{ TALLY_DEVELOPMENT: '1', TALLY_HOST: '0.0.0.0' }, /^TALLY_DEVELOPMENT is on .* loopback only/],
  [{ CHAIN_RPC_URL: 'ws://x' }, /^the setting CHAIN_RPC_URL holds ws:\/\/x; it must be URLs that begin with http:/],
  [
    { CHAIN_WITHDRAWAL_RESERVE_MICROS: '-1' },
    /^the setting CHAIN_WITHDRAWAL_RESERVE_MICROS is -1; it must be a whole number/,
  ],
  [{ CHAIN_RELAYER: '0x1' }, /^the setting CHAIN_RELAYER is 0x1; it must be 0x and 40 hex digits$/],
];

test('a wrong setting is named, and what it must be', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tally-settings-'));
  const key = join(folder, 'key.seed');
  writeFileSync(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
  const places = { TALLY_DATA: folder, TALLY_WARDEN_SOCKET: 'socket', TALLY_LEASE_PUBLIC_KEYS: 'x' };
  const right = { ...places, TALLY_LOG_KEY_FILE: key, TALLY_CALLER_KEY_FILE: key };
  try {
    assert.deepEqual(readApiSettings({ ...right, TALLY_CHAIN_IDS: '1, 8453' }).chainIds, [1, 8453]);
    for (const [env, says] of WRONG)
      assert.throws(
        () => readApiSettings({ ...right, ...env }),
        (fault: Error) => fault instanceof SettingError && says.test(fault.message),
        JSON.stringify(env),
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
