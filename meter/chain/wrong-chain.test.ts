/**
 * Api and meter on a chain that is not what the settings say.
 * Promise: neither goes on with it: at the start, or as soon as a chain that was away answers, each ends with one line that names the
 * setting, what it is and what the chain says.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import {
  artifactOf,
  newAddress,
  startEndpoint,
  startTestChain,
  type TestChain,
} from '@tallystick/engine/adapters/chain/testing';
import { type Database, migrate, openDatabase } from '@tallystick/engine/database';
import { EXIT_SETTING } from '@tallystick/engine/program';

const ROOT = join(import.meta.dirname, '..', '..');
const PROGRAM_MS_MAX = 60_000;
const PROGRAMS = ['api/main.ts', 'meter/main.ts'];

let folder: string;
let key: string;
let world: TestChain;
let database: Database;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tally-wrong-chain-'));
  key = join(folder, 'key.seed');
  writeFileSync(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
  world = await startTestChain();
  database = await openDatabase({ folder, settings: { fsync: 'off' } });
  await migrate(database);
});
after(async () => {
  await database.stop();
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Running {
  /** Resolves when it says that it works. @errors rejects with what it said when it ends before */
  ready: Promise<void>;
  ended: Promise<{ code: number | null; stderr: string }>;
  stop(): void;
}

function run(main: string, change: Record<string, string>): Running {
  const { PATH = '' } = process.env;
  const { rpcUrls, token, tokenName, tokenVersion, treasury, factory } = world.config;
  const child = spawn(process.execPath, [join(ROOT, main)], {
    env: {
      ...{ PATH, TALLY_DATA: folder, TALLY_WARDEN_SOCKET: join(folder, 'nobody.sock'), TALLY_PORT: '0' },
      ...{ TALLY_LOG_KEY_FILE: key, TALLY_LEASE_KEY_FILE: key, TALLY_CALLER_KEY_FILE: key },
      ...{ TALLY_LEASE_PUBLIC_KEYS: Buffer.alloc(32, 7).toString('base64'), TALLY_PARENT: String(process.pid) },
      ...{ CHAIN_RPC_URL: rpcUrls[0]!, CHAIN_TREASURY: treasury, CHAIN_FACTORY: factory, CHAIN_POLL_MS: '20' },
      ...{ CHAIN_TOKEN: token, CHAIN_TOKEN_NAME: tokenName, CHAIN_TOKEN_VERSION: tokenVersion },
      ...change,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PROGRAM_MS_MAX,
  });
  const stderr = text(child.stderr);
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once('close', resolve);
  const ended = promise.then(async (code) => ({ code, stderr: await stderr }));
  const isReady = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => line.includes('"ready":true') && isReady.resolve());
  const early = ended.then(({ code, stderr: said }) => assert.fail(`it ended with ${code}:\n${said}`));
  const ready = Promise.race([isReady.promise, early]);
  ready.catch(() => undefined);
  return { ready, ended, stop: () => child.kill('SIGTERM') };
}

const WRONG: [what: string, change: Record<string, string>, says: RegExp][] = [
  [
    'whose token has another version',
    { CHAIN_TOKEN_VERSION: '2' },
    /^the setting CHAIN_TOKEN_VERSION is 2; the token 0x[0-9a-fA-F]{40} says "1"$/,
  ],
  [
    'where no factory stands',
    { CHAIN_FACTORY: `0x${'ab'.repeat(20)}` },
    /^the setting CHAIN_FACTORY is 0x(ab){20}; it must be the ForwarderFactory of .*, and no contract stands there$/,
  ],
];
for (const main of PROGRAMS)
  for (const [what, change, says] of WRONG)
    test(`${main} does not start on a chain ${what}`, async () => {
      const { code, stderr } = await run(main, change).ended;
      assert.equal(code, EXIT_SETTING, stderr);
      assert.match(stderr.trimEnd(), says);
    });

test('meter/main.ts does not start with a key that is not the treasury’s', async () => {
  const { code, stderr } = await run('meter/main.ts', { CHAIN_TREASURY_KEY_FILE: key }).ended;
  assert.equal(code, EXIT_SETTING, stderr);
  const { treasury } = world.config;
  const says = `^the setting CHAIN_TREASURY_KEY_FILE holds the key of 0x[0-9a-f]{40}; the treasury is ${treasury} \\(CHAIN_TREASURY\\)$`;
  assert.match(stderr.trimEnd(), new RegExp(says));
});

test('a chain that the ledger has taken with another factory is refused by both, although that one is as good', async () => {
  const first = run('api/main.ts', {});
  await first.ready;
  first.stop();
  assert.equal((await first.ended).code, 0);
  const factory = newAddress();
  const { deployed } = artifactOf('ForwarderFactory');
  await world.chain.evm.request({ method: 'hardhat_setCode', params: [factory, deployed] });
  const wanted = world.config.factory.toLowerCase();
  for (const { ended } of PROGRAMS.map((main) => run(main, { CHAIN_FACTORY: factory }))) {
    const { code, stderr } = await ended;
    assert.equal(code, EXIT_SETTING, stderr);
    const says = `the setting CHAIN_FACTORY is ${factory}; it must be ${wanted}, with which the ledger has taken this chain`;
    assert.equal(stderr.trimEnd(), says);
  }
});

test('a chain that was away at the start and is another one ends both as soon as it answers, whoever asks', async () => {
  await using endpoint = await startEndpoint(world.chain, () => {
    throw new Error('not here');
  });
  const factory = newAddress();
  const running = PROGRAMS.map((main) => run(main, { CHAIN_RPC_URL: endpoint.url, CHAIN_FACTORY: factory }));
  await Promise.all(running.map(({ ready }) => ready));
  endpoint.say();
  for (const { code, stderr } of await Promise.all(running.map(({ ended }) => ended))) {
    assert.equal(code, EXIT_SETTING, stderr);
    // what its loops log meanwhile stands beside it, before or after
    assert.match(
      stderr,
      new RegExp(`^the setting CHAIN_FACTORY is ${factory}; .*, and no contract stands there$`, 'm'),
    );
    assert.match(stderr, /"level":60.*stopping: the chain is not what the settings say/);
    assert.ok(!stderr.includes('\n    at '), stderr);
  }
});
