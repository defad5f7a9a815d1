/** Commands and files through the warden: reattaching to output, bounds, whole trees, and paths that lead nowhere. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../testing/rig.ts';
import { authorization, type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import { EXEC_LOG_BYTES_MAX } from './exec-log.ts';

const MIB = 1 << 20;
const S0 = '/v1/sandboxes/s0';

describe('work in a sandbox', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Parameters<typeof wardenFor>[0]);
    const made = await warden.create(300_000, { disk_mib: 1_024 });
    assert.equal(made.status, 200, made.bytes.toString());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  const start = (exec_id: string, line: string, more: object = {}) =>
    warden.call('POST', `${S0}/execs`, { exec_id, argv: ['sh', '-c', line], ...more });
  const ended = async (execId: string) => (await warden.call('GET', `${S0}/execs/${execId}?wait_ms=20000`)).json;
  const run = async (execId: string, line: string): Promise<string> => {
    await start(execId, line);
    const { end } = await ended(execId);
    const { json } = await warden.call('GET', `${S0}/execs/${execId}/output`);
    const text = json.chunks
      .map((chunk: { bytes_base64: string }) => Buffer.from(chunk.bytes_base64, 'base64'))
      .join('');
    return `${text}[${end.code ?? end.end}]`;
  };

  test('a reader leaves and comes back by cursor, while the command writes on', async () => {
    await start('slow', 'i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.01; done');
    let text = '';
    for (let cursor = 0; ; ) {
      const { json } = await warden.call('GET', `${S0}/execs/slow/output?after=${cursor}&wait_ms=5000&max_bytes=7`);
      text += json.chunks.map((chunk: { bytes_base64: string }) => Buffer.from(chunk.bytes_base64, 'base64')).join('');
      cursor = json.next_cursor;
      if (json.at_end) break;
    }
    assert.equal(text, Array.from({ length: 40 }, (_, index) => `${index}\n`).join(''));
  });

  test('output beyond the bound drops its oldest bytes and says how many', async () => {
    const bytes = EXEC_LOG_BYTES_MAX + 4 * MIB;
    await start('big', `head -c ${bytes} /dev/zero | tr '\\\\0' 'x'; echo; echo end`);
    const view = await ended('big');
    assert.deepEqual(view.end, { end: 'exited', code: 0 });
    assert.equal(view.stdout_bytes, bytes + 5);
    const { json } = await warden.call('GET', `${S0}/execs/big/output?after=0&max_bytes=10`);
    assert.ok(json.dropped_bytes > 0 && json.dropped_bytes === json.first_cursor);
    const tail = await warden.call('GET', `${S0}/execs/big/output?after=${bytes + 1}`);
    assert.equal(Buffer.from(tail.json.chunks[0].bytes_base64, 'base64').toString(), 'end\n');
  });

  test('the same exec_id at the same moment runs once', async () => {
    await Promise.all(Array.from({ length: 8 }, () => start('once', 'echo x >> ~/once')));
    await ended('once');
    assert.equal(await run('once-read', 'cat ~/once'), 'x\n[0]');
  });

  test('a background child holds nothing open, out of memory is said', async () => {
    assert.equal(await run('left', 'sleep 30 & echo left'), 'left\n[0]');
    await warden.call('POST', `${S0}/execs`, { exec_id: 'oom', argv: ['perl', '-e', "$x .= 'a' x (1 << 20) while 1"] });
    assert.deepEqual((await ended('oom')).end, { end: 'oom' });
  });

  test('environment and folder are as asked, and nothing of the warden', async () => {
    await start('env', 'echo $COLOUR; pwd; env | grep -ci tally_warden', { env: { COLOUR: 'red' }, cwd: '/tmp' });
    const { json } = await warden.call('GET', `${S0}/execs/env/output?wait_ms=5000`);
    await ended('env');
    assert.match(Buffer.from(json.chunks[0].bytes_base64, 'base64').toString(), /^red\n/);
  });

  test('a path that climbs or links out stays inside', async () => {
    const secret = join(warden.folder, 'state', 'warden.key');
    assert.ok(existsSync(secret));
    for (const path of [secret, `../../../../../..${secret}`]) {
      const answer = await warden.call('GET', `${S0}/files?path=${encodeURIComponent(path)}`);
      assert.deepEqual([answer.status, answer.json.code], [404, 'no_such_file']);
    }
    await run('link', `ln -s ${secret} ~/link; ln -s / ~/root`);
    assert.equal((await warden.call('GET', `${S0}/files?path=link`)).json.code, 'no_such_file');
    const put = await warden.call('PUT', `${S0}/files?path=root/usr/bin/evil`, Buffer.from('x'));
    assert.equal(put.json.code, 'not_permitted');
    const etc = await warden.call('PUT', `${S0}/files?path=/etc/passwd`, Buffer.from('x'));
    assert.equal(etc.status, 422);
    assert.equal((await warden.call('GET', `${S0}/files?path=/dev/zero`)).json.code, 'file_fault');
  });

  test('a put that breaks off leaves no file', async () => {
    const { public_key } = warden.ready;
    const socketPath = join(warden.folder, 'w.sock');
    const headers = { authorization: authorization(public_key), 'content-length': String(8 * MIB) };
    const put = request({ socketPath, method: 'PUT', path: `${S0}/files?path=broken/file`, headers });
    put.on('error', () => {});
    await new Promise((resolve) => put.write(Buffer.alloc(2 * MIB), resolve));
    put.destroy();
    await until(async () => {
      const { json } = await warden.call('GET', `${S0}/list?path=broken`);
      return json.entries?.length === 0;
    });
  });

  test('a tree of 150 MiB goes in and out with flat memory', async (context) => {
    await run('make', 'mkdir tree; for i in 1 2 3; do head -c 52428800 /dev/urandom > tree/$i; done');
    const startedAtMs = performance.now();
    const out = await warden.call('GET', `${S0}/tree?path=tree`);
    const outMs = performance.now() - startedAtMs;
    const back = await warden.call('PUT', `${S0}/tree?path=copy/of/it`, out.bytes);
    const inMs = performance.now() - startedAtMs - outMs;
    assert.equal(back.json.bytes, out.bytes.length);
    const status = readFileSync(`/proc/${warden.process.pid}/status`, 'utf8');
    const peakMib = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1_024;
    assert.ok(peakMib < 300, `the warden grew to ${peakMib} MiB`);
    context.diagnostic(`the warden's peak: ${peakMib.toFixed(0)} MiB`);
    context.diagnostic(`out ${outMs.toFixed(0)} ms, in ${inMs.toFixed(0)} ms`);
    assert.equal(await run('same', 'cd ~; diff -r tree copy/of/it && echo same'), 'same\n[0]');
    const file = await warden.call('GET', `${S0}/files?path=tree/1`);
    const sum = createHash('sha256').update(file.bytes).digest('hex');
    assert.match(await run('sum', 'sha256sum < ~/tree/1'), new RegExp(sum));
  });

  test('a missing tree, and what is no tar, are refused', async () => {
    assert.equal((await warden.call('GET', `${S0}/tree?path=nowhere`)).json.code, 'tree_refused');
    assert.equal((await warden.call('PUT', `${S0}/tree?path=x`, Buffer.alloc(2_000, 'x'))).json.code, 'tree_refused');
  });

  test('activity is noted with its cause', async () => {
    await warden.call('PUT', `${S0}/files?path=touched`, Buffer.from('x'));
    const view = (await warden.call('GET', S0)).json;
    assert.equal(view.last_activity, 'file_write');
    assert.ok(view.last_activity_us > view.started_at_us);
    assert.ok(view.running_ms > 0 && view.cpu_us > 0 && view.memory_bytes > 0);
  });
});
