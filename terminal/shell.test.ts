/** `tally shell` on a real terminal: its size, its keys, going away and coming back. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type IPty, spawn } from '@lydell/node-pty';
import { connect } from '@tallystick/sdk';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import { detachFilter } from './commands/shell.ts';
import { openTerminal, type TestTerminal } from './testing/terminal.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const WAIT_MS = 20_000;

interface Seen {
  terminal: IPty;
  screen(): string;
  exited: Promise<number>;
}

async function until(isSo: () => boolean, what: () => string): Promise<void> {
  const giveUpAtMs = performance.now() + WAIT_MS;
  while (!isSo()) {
    if (performance.now() > giveUpAtMs) throw new Error(`not so after ${WAIT_MS} ms: ${what()}`);
    await sleep(5);
  }
}

/** `tally` on a pseudo-terminal of our own. */
function onTerminal(own: TestTerminal, ...argv: string[]): Seen {
  let screen = '';
  const env = { ...own.env, PATH: process.env['PATH'], TERM: 'xterm' };
  const terminal = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...argv], {
    cols: 100,
    rows: 30,
    env,
  });
  terminal.onData((text) => {
    screen += text;
  });
  const exited = new Promise<number>((resolve) => terminal.onExit(({ exitCode }) => resolve(exitCode)));
  return { terminal, screen: () => screen, exited };
}

async function sandboxOn(fake: FakePlatform): Promise<{ own: TestTerminal; id: string }> {
  const own = await openTerminal(fake.url);
  const apiKey = fake.addKey();
  own.env['TALLY_API_KEY'] = apiKey;
  const job = await connect({ baseUrl: fake.url, apiKey }).jobs.create({ maxTotalSpendMicros: 1_000_000n });
  return { own, id: (await job.sandboxes.create()).id };
}

test('a shell has the size of this terminal, hears a new one, and can be left and come back to', async () => {
  await using fake = await startFakePlatform();
  const { own, id } = await sandboxOn(fake);
  await using _ = own;
  const first = onTerminal(own, 'shell', id, '--', 'ticker');
  await until(() => fake.execs.size === 1, first.screen);
  const [run] = [...fake.execs.values()];
  assert.ok(run);
  assert.deepEqual(run.tty, { columns: 100, rows: 30 });
  assert.equal(run.env['TERM'], 'xterm');
  await until(() => {
    first.terminal.write('a');
    return run.typed.includes('a');
  }, first.screen);
  first.terminal.resize(120, 40);
  await until(() => run.tty?.columns === 120, first.screen);
  first.terminal.write('\x03\r~.');
  assert.equal(await first.exited, 0);
  assert.match(first.screen(), new RegExp(`detached; come back with: tally exec attach ${id} ${run.execId}`));
  assert.ok(run.typed.includes('\x03\r') && !run.typed.includes('~'), 'the interrupt is a key, the detaching is not');
  assert.equal(run.end, undefined);

  const again = onTerminal(own, 'exec', 'attach', id, run.execId);
  await until(() => again.screen().includes('a'), again.screen);
  await until(() => run.tty?.columns === 100, again.screen);
  run.print('bye\r\n');
  run.finish('exited', { exitCode: 7 });
  assert.equal(await again.exited, 7);
  assert.match(again.screen(), /bye/);
});

test('without a terminal here, exec -t types what stands on standard input', async () => {
  await using fake = await startFakePlatform();
  const { own, id } = await sandboxOn(fake);
  await using _ = own;
  const stdin = Readable.from([Buffer.from('one '), Buffer.from('two')]);
  const said = await own.runWith({ stdin }, 'exec', '-t', id, '--', 'ticker');
  assert.deepEqual(said, { code: 0, out: 'one two', err: '' });
  assert.deepEqual([...fake.execs.values()][0]?.tty, { columns: 80, rows: 24 });
  assert.equal((await own.run('exec', '-t', '--json', id, '--', 'ticker')).code, 2);
});

test('commands are listed, and a plain one is followed from its beginning', async () => {
  await using fake = await startFakePlatform();
  const { own, id } = await sandboxOn(fake);
  await using _ = own;
  await own.run('exec', id, '--', 'echo', 'hello');
  const listed = JSON.parse((await own.run('exec', 'list', id, '--json')).out) as { execs: { exec_id: string }[] };
  const execId = listed.execs[0]?.exec_id ?? '';
  assert.match((await own.run('exec', 'list', id)).out, /echo/);
  assert.deepEqual(await own.run('exec', 'attach', id, execId), { code: 0, out: 'hello\n', err: '' });
  assert.equal((await own.run('exec', 'attach', id, `exec_${'0'.repeat(32)}`)).code, 2);
});

const KEYS: [typed: string[], passed: string, isDetached: boolean][] = [
  [['ls\r'], 'ls\r', false],
  [['~.'], '', true],
  [['a~.'], 'a~.', false],
  [['a\r', '~', '.', 'lost'], 'a\r', true],
  [['\r~x'], '\r~x', false],
  [['\r~~.'], '\r~.', false],
  [['\r~', 'x~.'], '\r~x~.', false],
];
for (const [typed, passed, isDetached] of KEYS) {
  test(`typed ${JSON.stringify(typed)}: ${isDetached ? 'detaches' : 'stays'}`, () => {
    const filter = detachFilter();
    let all = '';
    let last = false;
    for (const text of typed) {
      const { pass, isDetached: now } = filter(Buffer.from(text));
      all += pass.toString();
      last ||= now;
      if (now) break;
    }
    assert.deepEqual([all, last], [passed, isDetached]);
  });
}
