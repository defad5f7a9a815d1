import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import type { Command } from 'commander';
import { exitCodeOf, readEnvironment } from './commands/exec-end.ts';
import { processIo } from './io.ts';
import { createProgram } from './program.ts';
import { openTerminal, type Said, type TestTerminal } from './testing/terminal.ts';
import { readKeystore, SCRYPT_N } from './wallet/keystore.ts';

const GOLDEN = fileURLToPath(new URL('./golden', import.meta.url));
const BIN = fileURLToPath(new URL('./bin/tally.mjs', import.meta.url));

/** A terminal with a key, a job and a sandbox. */
async function withSandbox(fake: FakePlatform): Promise<{ terminal: TestTerminal; job: string; sandbox: string }> {
  const terminal = await openTerminal(fake.url);
  terminal.env['TALLY_API_KEY'] = fake.addKey();
  const job = JSON.parse((await ok(terminal.run('job', 'create', '--budget', '$1', '--json'))).out) as { id: string };
  const sandbox = JSON.parse((await ok(terminal.run('sandbox', 'create', '--job', job.id, '--json'))).out) as {
    id: string;
  };
  return { terminal, job: job.id, sandbox: sandbox.id };
}

async function ok(said: Promise<Said>): Promise<Said> {
  const result = await said;
  assert.equal(result.code, 0, result.err);
  return result;
}

/** What changes from run to run is replaced by its kind. */
const settled = (text: string): string =>
  text
    .replace(/http:\/\/127\.0\.0\.1:[0-9]+/g, 'URL')
    .replace(/0x[0-9a-fA-F]{40}/g, 'ADDRESS')
    .replace(/[0-9a-f]{32}(?= *\n)(?<=trace_id .*)/g, 'TRACE')
    .replace(/\/[^\s"]*tally-terminal-[^/\s"]+/g, 'FOLDER')
    .replace(/eip155:8453:ADDRESS/g, 'PRINCIPAL');

async function matchesGolden(name: string, text: string): Promise<void> {
  const path = join(GOLDEN, `${name}.txt`);
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(path, settled(text));
  assert.equal(settled(text), await readFile(path, 'utf8'), `${name}: to accept, run with UPDATE_GOLDEN=1`);
}

test('a session as a person sees it', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal(fake.url);
  const lines = [
    ['login', '--new'],
    ['whoami'],
    ['deposit', '$5'],
    ['balance'],
    ['job', 'create', '--budget', '$9', '--label', 'audit', '--key', 'k1'],
    ['job', 'create', '--budget', '400micros'],
    ['job', 'list'],
    ['job', 'extend', `job_${'3'.padStart(32, '0')}`, '--add-budget', '$1'],
    ['sandbox', 'create', '--job', `job_${'3'.padStart(32, '0')}`, '--cap', '$0.25', '--quantum', '10s'],
    ['sandbox', 'create', '--job', `job_${'4'.padStart(32, '0')}`],
    ['sandbox', 'list'],
    ['sandbox', 'touch', `sbx_${'5'.padStart(32, '0')}`, '--reason', 'thinking'],
    ['sandbox', 'destroy', `sbx_${'5'.padStart(32, '0')}`],
    ['job', 'stop', `job_${'3'.padStart(32, '0')}`],
    ['job', 'get', `job_${'9'.padStart(32, '0')}`],
    ['receipts', 'list'],
    ['receipts', 'get', `rcp_${'1'.padStart(32, '0')}`],
    ['keys', 'list'],
    ['logout'],
    ['balance'],
  ];
  let text = '';
  for (const argv of lines) {
    const { code, out, err } = await terminal.run(...argv);
    text += `$ tally ${argv.join(' ')}\n${err}${out}[${code}]\n\n`;
  }
  await matchesGolden('session', text);
});

test('the help of every command has examples and exit codes', async () => {
  const program = createProgram({ io: processIo(), exitCode: 0, isJson: false });
  const leaves = (command: Command): Command[] =>
    command.commands.length > 0 ? command.commands.flatMap(leaves) : [command];
  const named = leaves(program).filter((command) => command.name() !== 'help');
  assert.ok(named.length >= 25);
  for (const command of named) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    assert.match(help, /--json/, command.name());
    assert.match(help, /\nExamples:\n {2}tally |\nExamples:\n {2}echo /, command.name());
    assert.match(help, /\nExit codes:\n/, command.name());
  }
});

test('with --json every answer and every refusal is one JSON value', async () => {
  await using fake = await startFakePlatform();
  const { terminal, job, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  const rows: string[][] = [
    ['balance'],
    ['whoami'],
    ['job', 'list'],
    ['job', 'get', job],
    ['sandbox', 'list', '--job', job],
    ['sandbox', 'get', sandbox],
    ['receipts', 'list'],
    ['keys', 'list'],
    ['exec', sandbox, '--', 'echo', 'x'],
    ['ls', `${sandbox}:`],
  ];
  for (const argv of rows) {
    const at = argv.indexOf('--') < 0 ? argv.length : argv.indexOf('--');
    const { out } = await ok(terminal.run(...argv.toSpliced(at, 0, '--json')));
    assert.equal(typeof JSON.parse(out), 'object', argv.join(' '));
  }
  const refused = await terminal.run('job', 'get', `job_${'f'.repeat(32)}`, '--json');
  assert.equal(refused.code, 1);
  assert.equal(JSON.parse(refused.err).error.code, 'not_found');
  assert.equal(refused.out, '');
});

test('the exit code says what to do: usage, refusal, unreachable', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  const rows: [number, string[]][] = [
    [0, ['--help']],
    [0, ['--version']],
    [2, []],
    [2, ['nonsense']],
    [2, ['balance', '--nonsense']],
    [2, ['job', 'create']],
    [2, ['job', 'create', '--budget', '5']],
    [2, ['deposit', '5']],
    [2, ['job', 'get', 'job_1']],
    [2, ['job', 'list', '--status', 'happy']],
    [2, ['job', 'extend', `job_${'3'.padStart(32, '0')}`]],
    [2, ['sandbox', 'create', '--job', sandbox]],
    [2, ['cp', 'a', 'b']],
    [2, ['cp', 'nowhere', `${sandbox}:`]],
    [2, ['exec', sandbox, '--env', 'x', '--', 'echo']],
    [2, ['exec', sandbox]],
    [2, ['live', 'account', '--after', 'x']],
    [2, ['login']],
    [2, ['balance', '--url', 'ftp://x']],
    [2, ['balance', '--url', 'http://127.0.0.1:1/path']],
    [1, ['sandbox', 'get', `sbx_${'9'.repeat(32)}`]],
    [1, ['cp', `${sandbox}:nothing.txt`, 'here']],
  ];
  for (const [code, argv] of rows) assert.equal((await terminal.run(...argv)).code, code, argv.join(' '));
  terminal.env['TALLY_API_KEY'] = 'tly_given';
  const gone = await deadUrl();
  const lost = await terminal.runWith({ fetch: (input, init) => fetch(String(input), init) }, 'balance', '--url', gone);
  assert.equal(lost.code, 3, lost.err);
  assert.ok(!lost.err.includes('tly_given'));
});

async function deadUrl(): Promise<string> {
  await using fake = await startFakePlatform();
  return fake.url;
}

test('[I-30] the API key goes to the platform that gave it and is never shown', async () => {
  await using fake = await startFakePlatform();
  await using other = await startFakePlatform();
  await using terminal = await openTerminal(fake.url);
  await ok(terminal.run('login', '--new'));
  assert.match((await terminal.run('login', '--new')).err, /There is a wallet at/);
  const saved = JSON.parse(await readFile(join(terminal.home, 'config.json'), 'utf8')) as { api_key: string };
  assert.equal((await stat(join(terminal.home, 'config.json'))).mode & 0o777, 0o600);
  const elsewhere = await terminal.run('balance', '--url', other.url);
  assert.equal(elsewhere.code, 2);
  assert.match(elsewhere.err, /There is no login for/);
  const said = await Promise.all(
    [
      ['login', '--json'],
      ['keys', 'list', '--json'],
      ['whoami', '--json'],
      ['doctor', '--no-host', '--json'],
    ].map((argv) => terminal.run(...argv)),
  );
  const all = said.map(({ out, err }) => out + err).join('');
  for (const { secret } of fake.keys.values()) assert.ok(!all.includes(secret));
  assert.ok(!all.includes(saved.api_key));
  await chmod(join(terminal.home, 'config.json'), 0o644);
  const loose = await terminal.run('balance');
  assert.equal(loose.code, 2);
  assert.match(loose.err, /file_not_private/);
});

test('a wallet is made once, costs a guesser enough, and leaves in clear only when asked by name', async () => {
  await using terminal = await openTerminal();
  const made = JSON.parse((await ok(terminal.run('wallet', 'new', '--json'))).out) as {
    address: string;
    wallet: string;
  };
  assert.equal((await stat(made.wallet)).mode & 0o777, 0o600);
  const file = readKeystore(JSON.parse(await readFile(made.wallet, 'utf8')));
  assert.equal(file.crypto.kdf === 'scrypt' && file.crypto.kdfparams.n, SCRYPT_N);
  assert.equal((await terminal.run('wallet', 'new')).code, 2);
  assert.equal((await ok(terminal.run('wallet', 'address'))).out.trim().toLowerCase(), made.address.toLowerCase());
  assert.deepEqual(
    JSON.parse((await ok(terminal.run('wallet', 'export'))).out),
    JSON.parse(await readFile(made.wallet, 'utf8')),
  );
  assert.match((await ok(terminal.run('wallet', 'export', '--raw'))).out, /^0x[0-9a-f]{64}\n$/);
  terminal.env['TALLY_PASSPHRASE'] = 'wrong';
  const wrong = await terminal.run('wallet', 'export', '--raw');
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.match(wrong.err, /passphrase_wrong/);
  delete terminal.env['TALLY_PASSPHRASE'];
  assert.match((await terminal.run('wallet', 'export', '--raw')).err, /nobody can be asked/);
  await writeFile(join(terminal.folder, 'pass'), 'for tests\n', { mode: 0o600 });
  await ok(terminal.run('wallet', 'export', '--raw', '--passphrase-file', 'pass'));
  await chmod(join(terminal.folder, 'pass'), 0o644);
  assert.match(
    (await terminal.run('wallet', 'export', '--raw', '--passphrase-file', 'pass')).err,
    /can be read by others/,
  );
});

test('exec is the command: its bytes, its exit code, its standard input, its environment', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  assert.deepEqual(await terminal.run('exec', sandbox, '--', 'echo', '--json', 'hi'), {
    code: 0,
    out: '--json hi\n',
    err: '',
  });
  assert.deepEqual(await terminal.run('exec', sandbox, '--', 'exit', '7'), { code: 7, out: '', err: 'oh no\n' });
  assert.equal((await terminal.run('exec', sandbox, '--env', 'A=1', 'B=x=y', '--', 'env')).out, 'A=1\nB=x=y\n');
  const piped = await terminal.runWith(
    { stdin: Readable.from([Buffer.from('in')]) },
    'exec',
    sandbox,
    '--stdin',
    '-',
    '--',
    'cat',
  );
  assert.equal(piped.out, 'in');
  const flood = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(65_536);
    })(),
  );
  assert.equal((await terminal.runWith({ stdin: flood }, 'exec', sandbox, '--stdin', '-', '--', 'cat')).code, 2);
});

const NOT_STARTED: [words: string[], code: number, why: string][] = [
  [['--', 'missing'], 127, 'no such program: missing'],
  [['--cwd', 'app', '--', 'missing'], 127, 'no such program: missing, or no such folder: app'],
  [['--', 'missing', 'EACCES'], 126, 'may not be run: missing'],
  [['--', 'missing', 'E2BIG'], 126, 'its arguments and environment are too long'],
  [['--', 'missing', 'EAGAIN'], 126, 'EAGAIN: missing'],
];
test('why a command was not started is told, with the exit code that a shell gives it', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  for (const [words, code, why] of NOT_STARTED) {
    const said = await terminal.run('exec', sandbox, ...words);
    assert.deepEqual([said.code, said.err], [code, `tally: the command ended: not_started (${why})\n`]);
  }
  const json = await terminal.run('exec', sandbox, '--json', '--', 'missing');
  assert.deepEqual([json.code, JSON.parse(json.out).start_error], [127, 'ENOENT']);
  assert.match((await terminal.run('exec', sandbox, '--tty', '--', 'missing')).err, /\(no such program: missing\)/);
});

test('[I-05] when the paid time ends under a command, exec says the typed reason', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  const { code, out, err } = await terminal.run('exec', sandbox, '--', 'lease');
  assert.deepEqual([code, out], [125, 'tick\n']);
  assert.match(err, /^tally: the command ended: lease_ended \(sandbox ended: job_cap, paid until 2026-/);
  const again = await terminal.run('exec', sandbox, '--', 'echo');
  assert.equal(again.code, 1);
  assert.match(again.err, /^sandbox_ended: /);
});

test('an interrupt goes to the command', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  const running = terminal.runWith(
    { stdout: Object.assign(new (await import('node:stream')).PassThrough(), {}) },
    'exec',
    sandbox,
    '--',
    'ticker',
  );
  while (fake.execs.size === 0) await new Promise(setImmediate);
  terminal.interrupt();
  assert.equal((await running).code, 137);
  assert.ok(fake.changes.some((change) => change.endsWith('signal SIGINT')));
});

test('every way a command can end has its exit code', () => {
  const rows = [
    [{ end: 'exited', exitCode: 0 }, 0],
    [{ end: 'exited', exitCode: 255 }, 255],
    [{ end: 'timeout' }, 124],
    [{ end: 'lease_ended' }, 125],
    [{ end: 'sandbox_lost' }, 125],
    [{ end: 'not_started' }, 127],
    [{ end: 'not_started', startError: 'ENOTDIR' }, 127],
    [{ end: 'not_started', startError: 'EACCES' }, 126],
    [{ end: 'signaled', signal: 'SIGTERM' }, 143],
    [{ end: 'killed' }, 137],
    [{ end: 'oom' }, 137],
  ] as const;
  for (const [outcome, code] of rows) assert.equal(exitCodeOf(outcome), code, JSON.stringify(outcome));
  assert.deepEqual(readEnvironment(['A=1', 'B=']), { A: '1', B: '' });
});

test('cp goes both ways, files and folders, and keeps names', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await withSandbox(fake);
  await using _ = terminal;
  await mkdir(join(terminal.folder, 'tree', 'deep'), { recursive: true });
  await writeFile(join(terminal.folder, 'tree', 'deep', 'a.txt'), 'alpha');
  await ok(terminal.run('cp', 'tree/deep/a.txt', `${sandbox}:`));
  assert.equal(fake.files.get('a.txt')?.toString(), 'alpha');
  await ok(terminal.run('cp', `${sandbox}:a.txt`, 'b.txt'));
  assert.equal(await readFile(join(terminal.folder, 'b.txt'), 'utf8'), 'alpha');
  const sent = await ok(terminal.run('cp', 'tree', `${sandbox}:input`));
  assert.equal(sent.out, `5 bytes in 1 file to ${sandbox}:input\n`);
  await ok(terminal.run('cp', `${sandbox}:input`, 'back'));
  assert.equal(await readFile(join(terminal.folder, 'back', 'deep', 'a.txt'), 'utf8'), 'alpha');
  assert.equal((await terminal.run('cp', `${sandbox}:gone.txt`, 'gone.txt')).code, 1);
  assert.ok(!existsSync(join(terminal.folder, 'gone.txt')) && !existsSync(join(terminal.folder, 'gone.txt.part')));
});

test('a mutation repeats under the key that was given', async () => {
  await using fake = await startFakePlatform();
  const { terminal } = await withSandbox(fake);
  await using _ = terminal;
  fake.unavailable = 2;
  await ok(terminal.run('deposit', '$1', '--key', 'top-up-1'));
  assert.deepEqual(
    fake.changes.filter((change) => change.endsWith('deposit')),
    ['top-up-1 deposit'],
  );
});

test('the platform of the clone is found, and found again when it has moved', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal();
  assert.match((await terminal.run('balance')).err, /No platform is known/);
  const file = join(terminal.folder, 'data', 'run', 'api.json');
  await mkdir(join(terminal.folder, 'data', 'run'), { recursive: true });
  await writeFile(file, JSON.stringify({ url: fake.url }));
  await ok(terminal.run('login', '--new'));
  await writeFile(file, JSON.stringify({ url: fake.url.replace('127.0.0.1', 'localhost') }));
  assert.match((await ok(terminal.run('whoami'))).out, /localhost/);
});

test('verify says in one line that a file is no export, and what writes one', async () => {
  await using terminal = await openTerminal();
  for (const content of ['', 'nothing', 'one\ntwo\nthree\n', JSON.stringify({ name: 'x', list: [1, 2] }, null, 2)]) {
    await writeFile(join(terminal.folder, 'bad.jsonl'), content);
    const said = await terminal.run('verify', 'bad.jsonl');
    assert.deepEqual([said.code, said.err], [1, ''], content);
    assert.match(said.out, /^NOT VERIFIED: bad.jsonl is no export of receipts: .*`tally receipts export FILE`.*\n$/);
  }
  const report = JSON.parse((await terminal.run('verify', 'bad.jsonl', '--json')).out) as { ok: boolean };
  assert.equal(report.ok, false);
  assert.equal((await terminal.run('verify', 'missing.jsonl')).code, 2);
});

const OLD_NODES = ['/usr/local/bin/node', '/usr/bin/node'].filter((path) => existsSync(path));
for (const node of OLD_NODES)
  test(`the command starts under ${node}, whatever its version`, async () => {
    const said = await promisify(execFile)(node, [BIN, '--version'], { env: { PATH: '/usr/bin:/bin' } });
    assert.match(said.stdout, /^[0-9]+\.[0-9]+\.[0-9]+\n$/);
    const failed = promisify(execFile)(node, [BIN, 'nonsense'], { env: { PATH: '/usr/bin:/bin' } });
    await assert.rejects(failed, { code: 2 });
  });
