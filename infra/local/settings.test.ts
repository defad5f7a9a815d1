/** A wrong setting is one line that names it, whichever program it is for, and however it is started; a bug keeps its stack. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SettingError } from '@tallystick/engine/program';
import { Child } from './child.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PROGRAM_MS_MAX = 30_000;

function inFolder(use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'tally-settings-'));
  try {
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(main: string, words: string[], env: Record<string, string>) {
  const { PATH = '' } = process.env;
  const options = { env: { PATH, ...env }, timeout: PROGRAM_MS_MAX, encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, main), ...words], options);
  return { status, stderr };
}

const START = 'infra/local/up.ts';
const DEMO = 'infra/local/demo.ts';
const ARGUMENTS: [main: string, words: string[], env: Record<string, string>, says: RegExp][] = [
  [START, ['--nonsense'], {}, /Unknown option '--nonsense'.*npm start -- --help/],
  [DEMO, ['--nonsense'], {}, /Unknown option '--nonsense'.*npm run demo -- --help/],
  [DEMO, ['--quantum', '1h'], {}, /--quantum 1h: write 1s to 60s/],
  [START, [], { TALLY_PORT: '65536' }, /the setting TALLY_PORT is 65536; it must be a whole number from 0 to 65535/],
  [START, ['--isolation', 'jail'], {}, /--isolation is jail; it must be auto, gvisor, ns, ns-lite/],
];
for (const [main, words, env, says] of ARGUMENTS)
  test(`${main} refuses ${JSON.stringify(words)} ${JSON.stringify(env)} before anything starts`, () =>
    inFolder((folder) => {
      const { status, stderr } = run(main, words, { ...env, TALLY_DATA: folder });
      assert.equal(status, 2, stderr);
      assert.match(stderr, says);
      assert.ok(stderr.split('\n    at ').length === 1, stderr);
    }));

const PROGRAMS: [main: string, env: Record<string, string>, says: RegExp][] = [
  ['api/main.ts', { CHAIN_RPC_URL: 'garbage' }, /^the setting CHAIN_RPC_URL holds garbage; it must be .*https:/],
  ['meter/main.ts', { CHAIN_RPC_URL: 'garbage' }, /^the setting CHAIN_RPC_URL holds garbage; it must be .*https:/],
  ['engine/database/main.ts', { DATABASE_URL: 'mysql://a:hidden@b' }, /^the setting DATABASE_URL is no URL; it must/],
  ['engine/adapters/chain/embedded/main.ts', { TALLY_CHAIN_PORT: 'x' }, /^the setting TALLY_CHAIN_PORT is x; it must/],
];
for (const [main, env, says] of PROGRAMS)
  test(`${main} tells ${Object.keys(env).at(-1)} in one line`, () =>
    inFolder((folder) => {
      const key = join(folder, 'key.seed');
      writeFileSync(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
      const { status, stderr } = run(main, [], {
        ...{ TALLY_DATA: folder, TALLY_WARDEN_SOCKET: 'socket', TALLY_LEASE_PUBLIC_KEYS: 'x' },
        ...{ TALLY_LOG_KEY_FILE: key, TALLY_LEASE_KEY_FILE: key, TALLY_CALLER_KEY_FILE: key },
        ...env,
      });
      assert.equal(status, 2, stderr);
      assert.match(stderr, says);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      assert.doesNotMatch(stderr, /hidden/);
    }));

/** What is said of a program that ends before it is ready. */
async function saidOf(source: string): Promise<Error> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-settings-'));
  const [main, logFile] = [join(folder, 'main.mjs'), join(folder, 'log')];
  writeFileSync(main, source);
  try {
    await using child = new Child({ name: 'api', main, arguments: [], env: {}, logFile });
    return await child.start().then(
      () => assert.fail('it started'),
      (fault: Error) => fault,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a program that a setting kept from starting is told by its own line alone, another by its last words', async () => {
  const wrong = await saidOf("console.error('the setting A is b; it must be c'); process.exit(2)");
  assert.ok(wrong instanceof SettingError);
  assert.equal(wrong.message, 'the setting A is b; it must be c');
  const bug = await saidOf("throw new TypeError('a bug')");
  assert.ok(!(bug instanceof SettingError));
  assert.match(bug.message, /^api ended with exit code 1 before it was ready; .*TypeError: a bug.*\n {2} *at /s);
});
