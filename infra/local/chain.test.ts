/** What the platform of this machine says of its chain: the settings of whoever started it hold. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { chainEnvironment, chainProgram, type MoneySource, moneySource } from './chain.ts';
import { ensureKeys } from './keys.ts';

const READY = { pid: 1, url: 'http://127.0.0.1:1' };

/** With these settings and no other of their names. */
function withSettings<T>(settings: Record<string, string>, act: () => T): T {
  const names = ['CHAIN_RPC_URL', 'CHAIN_CONFIRMATIONS'];
  const before = names.map((name) => [name, process.env[name]] as const);
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  for (const name of names) set(name, settings[name]);
  try {
    return act();
  } finally {
    for (const [name, value] of before) set(name, value);
  }
}

function withKeys(act: (keys: ReturnType<typeof ensureKeys>, folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'tally-chain-'));
  try {
    act(ensureKeys(join(folder, 'keys')), folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the development chain waits for as many blocks as CHAIN_CONFIRMATIONS says, or for one', () =>
  withKeys((keys) => {
    const needed = (settings: Record<string, string>) =>
      withSettings(settings, () => chainEnvironment(READY, keys)['CHAIN_CONFIRMATIONS']);
    assert.deepEqual([needed({}), needed({ CHAIN_CONFIRMATIONS: '3' })], ['1', '3']);
  }));

const SOURCES: [settings: Record<string, string>, development: boolean, source: MoneySource][] = [
  [{}, true, 'faucet'],
  [{}, false, 'none'],
  [{ CHAIN_RPC_URL: 'http://127.0.0.1:1' }, true, 'chain'],
  [{ CHAIN_RPC_URL: 'http://127.0.0.1:1' }, false, 'chain'],
];
for (const [settings, development, source] of SOURCES)
  test(`money comes from ${source} with ${JSON.stringify(settings)} and development ${development}`, () =>
    withKeys((keys, folder) =>
      withSettings(settings, () => {
        assert.equal(moneySource({ development }), source);
        const hasFaucet = chainProgram({ folder, development, logFile: join(folder, 'log'), keys }) !== undefined;
        assert.equal(hasFaucet, source === 'faucet');
      }),
    ));
