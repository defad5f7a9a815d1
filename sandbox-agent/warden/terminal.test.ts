/** Commands on a terminal through the warden: size, keys, signals, reattaching, and what is typed but once. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '../testing/rig.ts';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import { STDIN_QUEUED_BYTES_MAX, STDIN_WRITERS_MAX } from './exec-input.ts';

const S0 = '/v1/sandboxes/s0';
const SIZE = { columns: 91, rows: 33 };

describe('a terminal in a sandbox', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Parameters<typeof wardenFor>[0]);
    const made = await warden.create(300_000);
    assert.equal(made.status, 200, made.bytes.toString());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  const start = (exec_id: string, argv: string[], more: object = {}) =>
    warden.call('POST', `${S0}/execs`, { exec_id, argv, tty: SIZE, ...more });
  const output = async (execId: string, after = 0): Promise<string> => {
    const { json } = await warden.call('GET', `${S0}/execs/${execId}/output?after=${after}`);
    return json.chunks.map((chunk: { bytes_base64: string }) => Buffer.from(chunk.bytes_base64, 'base64')).join('');
  };
  const shows = (execId: string, text: string) => until(async () => (await output(execId)).includes(text));
  const type = (execId: string, text: string, more: object = {}) =>
    warden.call('POST', `${S0}/execs/${execId}/stdin`, {
      bytes_base64: Buffer.from(text).toString('base64'),
      end: false,
      ...more,
    });
  const resize = (execId: string, body: object) => warden.call('POST', `${S0}/execs/${execId}/resize`, body);
  const endOf = async (execId: string) => (await warden.call('GET', `${S0}/execs/${execId}?wait_ms=20000`)).json.end;

  test('a shell has its size, hears a new one, and leaves with its code', async () => {
    const started = await start('shell', ['sh', '-i'], { env: { PS1: 'ready> ' } });
    assert.deepEqual([started.json.program, started.json.tty], ['sh', SIZE]);
    await shows('shell', 'ready>');
    await type('shell', 'stty size; echo $TERM; test -t 0 && test -t 2 && echo is-$((40+2))\r');
    await shows('shell', 'is-42');
    assert.match(await output('shell'), /33 91\r\nxterm-256color/);
    await type('shell', "trap 'echo changed-to $(stty size)' WINCH; echo set-$((1+1))\r");
    await shows('shell', 'set-2');
    const answer = await resize('shell', { columns: 120, rows: 40 });
    assert.deepEqual(answer.json.tty, { columns: 120, rows: 40 });
    await type('shell', '\r');
    await shows('shell', 'changed-to 40 120');
    await type('shell', 'exit 7\r');
    assert.deepEqual(await endOf('shell'), { end: 'exited', code: 7 });
  });

  test('a key interrupts what is in the foreground, and so does a signal', async () => {
    await start('keys', ['sh', '-i'], { env: { PS1: 'ready> ' } });
    await shows('keys', 'ready>');
    await type('keys', 'sh -c "echo in-$((3+3)); exec sleep 100"; echo after-$((1+1))\r');
    await shows('keys', 'in-6');
    await type('keys', '\x03');
    await type('keys', 'echo back-$((2+2))\r');
    await shows('keys', 'back-4');
    await warden.call('POST', `${S0}/execs/keys/signal`, { signal: 'SIGKILL' });
    assert.deepEqual(await endOf('keys'), { end: 'signaled', signal: 'SIGKILL' });
  });

  test('a reader that went away comes back to the same shell at its byte', async () => {
    await start('back', ['sh', '-i'], { env: { PS1: '' } });
    await type('back', 'echo one-$((0+1))\r');
    await shows('back', 'one-1');
    const cursor = (await output('back')).length;
    await type('back', 'echo two-$((1+1))\r');
    await shows('back', 'two-2');
    const later = await output('back', cursor);
    assert.ok(later.includes('two-2') && !later.includes('one-1'), later);
    const listed = (await warden.call('GET', `${S0}/execs`)).json.execs;
    const mine = listed.find((exec: { exec_id: string }) => exec.exec_id === 'back');
    assert.deepEqual([mine.program, mine.tty, mine.state], ['sh', SIZE, 'running']);
    await type('back', '', { end: true });
    assert.deepEqual(await endOf('back'), { end: 'exited', code: 0 });
  });

  test('what a writer repeats is typed once, a gap is refused', async () => {
    await warden.call('POST', `${S0}/execs`, { exec_id: 'once', argv: ['cat'], stdin_open: true });
    const place = { writer: 'me', at: 0 };
    assert.deepEqual((await type('once', 'abc', place)).json, { position: 3 });
    assert.deepEqual((await type('once', 'abc', place)).json, { position: 3 });
    assert.deepEqual((await type('once', 'bcd', { writer: 'me', at: 1 })).json, { position: 4 });
    const gap = await type('once', 'x', { writer: 'me', at: 9 });
    assert.deepEqual([gap.status, gap.json.code, gap.json.position], [409, 'stdin_gap', 4]);
    await type('once', 'E', { writer: 'other', at: 0 });
    await type('once', 'd', { writer: 'me', at: 3, end: true });
    assert.deepEqual(await endOf('once'), { end: 'exited', code: 0 });
    assert.equal(await output('once'), 'abcdE');
  });

  test('a command that does not read holds nobody up, and what waits for it is bounded', async () => {
    await warden.call('POST', `${S0}/execs`, { exec_id: 'deaf', argv: ['sleep', '60'], stdin_open: true });
    const piece = 'x'.repeat(STDIN_QUEUED_BYTES_MAX / 4);
    let answer = await type('deaf', piece);
    for (let sent = 1; answer.status === 200 && sent < 40; sent += 1) answer = await type('deaf', piece);
    assert.deepEqual([answer.status, answer.json.code], [429, 'stdin_full']);
    await warden.call('POST', `${S0}/execs/deaf/signal`, { signal: 'SIGKILL' });
    assert.deepEqual(await endOf('deaf'), { end: 'signaled', signal: 'SIGKILL' });
  });

  test('the number of writers is bounded', async () => {
    await warden.call('POST', `${S0}/execs`, { exec_id: 'many', argv: ['cat'], stdin_open: true });
    let answer = await type('many', 'x', { writer: 'w0', at: 0 });
    for (let writer = 1; writer <= STDIN_WRITERS_MAX; writer += 1)
      answer = await type('many', 'x', { writer: `w${writer}`, at: 0 });
    assert.equal(answer.json.code, 'too_many_writers');
    await type('many', '', { end: true });
    assert.equal((await output('many')).length <= STDIN_WRITERS_MAX, true);
  });

  const REFUSED: [what: string, ask: () => Promise<{ status: number; json: { code: string } }>, code: string][] = [
    ['a size of nothing', () => start('bad', ['sh'], { tty: { columns: 0, rows: 1 } }), 'invalid'],
    ['more than a size', () => start('bad', ['sh'], { tty: { ...SIZE, depth: 2 } }), 'invalid'],
    ['a size of a million', () => resize('piped', { columns: 1_000_000, rows: 1 }), 'invalid'],
    ['the size of a pipe', () => resize('piped', SIZE), 'no_terminal'],
    ['keys for who reads none', () => type('piped', 'x'), 'no_stdin'],
    ['an unknown command', () => resize('never', SIZE), 'unknown_exec'],
  ];
  for (const [what, ask, code] of REFUSED) {
    test(`refused: ${what}`, async () => {
      await warden.call('POST', `${S0}/execs`, { exec_id: 'piped', argv: ['sleep', '100'] });
      assert.equal((await ask()).json.code, code);
    });
  }

  test('what cannot be started on a terminal says why', async () => {
    await start('none', ['/no/such']);
    assert.deepEqual(await endOf('none'), { end: 'not_started', code: 'ENOENT' });
    await start('text', ['/etc/passwd']);
    assert.deepEqual(await endOf('text'), { end: 'not_started', code: 'EACCES' });
    await start('nowhere', ['sh'], { cwd: '/no/such' });
    assert.deepEqual(await endOf('nowhere'), { end: 'not_started', code: 'ENOENT' });
  });

  test('its time limit ends it, also with a child that holds the terminal', async () => {
    await start('late', ['sh', '-c', 'sleep 100 & sleep 100'], { timeout_ms: 200 });
    assert.deepEqual(await endOf('late'), { end: 'timeout' });
    await start('left', ['sh', '-c', 'trap "" HUP; sleep 100 & echo left']);
    assert.deepEqual(await endOf('left'), { end: 'exited', code: 0 });
    assert.equal(await output('left'), 'left\r\n');
  });

  test('much output and much input pass whole', async () => {
    await start('much', ['sh', '-c', 'stty raw -echo; echo go; head -c 300000 | wc -c; seq 1 40000']);
    await shows('much', 'go');
    await type('much', 'y'.repeat(300_000));
    assert.deepEqual(await endOf('much'), { end: 'exited', code: 0 });
    const text = await output('much');
    assert.match(text, /^go\r?\n300000\n1\n2\n3\n/);
    const { json } = await warden.call('GET', `${S0}/execs/much`);
    assert.equal(
      json.stdout_bytes,
      Buffer.byteLength(`go\n300000\n${Array.from({ length: 40_000 }, (_, i) => `${i + 1}\n`).join('')}`),
    );
  });
});
