/**
 * What a program that works on a sandbox's files gets: every path's fate in one word, parts of files, and changes while they happen.
 * Promise: through the public door, on a real machine; whoever watches keeps its sandbox from being idle.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type FileEvent, type Sandbox, StopReason } from '@tallystick/sdk';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';

const IDLE_MS = 3_000n;

const textOf = ({ kind, path, from }: FileEvent): string => `${kind} ${from ? `${from} -> ` : ''}${path}`;

/** Collects events until one of them is `last`. */
async function untilTold(events: AsyncIterable<FileEvent>, last: string): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of events) {
    seen.push(textOf(event));
    if (seen.at(-1) === last) return seen;
  }
  throw new Error(`never told ${last}: ${seen.join(', ')}`);
}

describe('files are moved and watched', () => {
  let platform: Platform;
  let machine: (idleTimeoutMs?: bigint) => Promise<Sandbox>;

  before(async () => {
    platform = await startPlatform({ quantumMs: 1_000 });
    const { tally } = await newcomer(platform.url, { depositMicros: 1_000_000n });
    machine = async (idleTimeoutMs) => {
      const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
      const shape = { cpuMillis: 500, ramMib: 192, diskMib: 32 };
      return job.sandboxes.create({ ...shape, ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }) });
    };
  });
  after(() => platform?.[Symbol.asyncDispose]());

  test('paths are made, read in part, moved and removed, and every refusal has its word', async () => {
    await using sandbox = await machine();
    const { files } = sandbox;
    await files.mkdir('work/deep', { parents: true });
    const written = await files.write('work/log', 'first line\nsecond line\n');
    const status = await files.stat('work/log', { digest: true });
    assert.deepEqual([status.type, status.bytes, status.sha256], ['file', 23n, written.sha256]);
    const part = Buffer.concat(await Array.fromAsync(files.read('work/log', { offset: 11, length: 6 })));
    assert.equal(part.toString(), 'second');
    const moved = await files.move('work/log', 'work/deep/log', { key: 'move-1' });
    const again = await files.move('work/log', 'work/deep/log', { key: 'move-1' });
    assert.equal(again.receiptId, moved.receiptId);
    assert.match(moved.receiptId, /^rcp_/);
    await sandbox.exec(['sh', '-c', 'ln -s /etc work/etc; echo x > work/other']);
    assert.deepEqual(
      [(await files.stat('work/etc')).type, (await files.stat('work/etc')).linkTarget],
      ['link', '/etc'],
    );
    const refusals: [code: string, ask: () => Promise<unknown>][] = [
      ['file_not_found', () => files.stat('work/none')],
      ['file_not_found', () => files.list('none')],
      ['not_a_directory', () => files.stat('work/other/below')],
      ['is_a_directory', () => Array.fromAsync(files.read('work'))],
      ['file_exists', () => files.mkdir('work')],
      ['file_exists', () => files.move('work/other', 'work/deep/log')],
      ['directory_not_empty', () => files.remove('work')],
      ['file_not_permitted', () => files.remove('/usr/bin/env')],
      ['crosses_mounts', () => files.move('work/other', '/tmp/other')],
      ['file_refused', () => files.mkdir('n'.repeat(300))],
    ];
    for (const [code, ask] of refusals) await assert.rejects(ask(), { code });
    await assert.rejects(
      files.write('large', Buffer.alloc(31 << 20, 1)).then(() => files.write('two', Buffer.alloc(2 << 20))),
      {
        code: 'no_space',
      },
    );
    assert.equal((await files.remove('work', { recursive: true })).entries, 5n);
    assert.ok((await sandbox.exec(['ls', '/etc/passwd'])).exitCode === 0);
  });

  test('changes are told while they happen, whoever makes them', async () => {
    await using sandbox = await machine();
    const { files } = sandbox;
    await files.mkdir('src');
    const ready = Promise.withResolvers<void>();
    const seen = untilTold(files.watch('src', { recursive: true, onReady: ready.resolve }), 'deleted src/lib/b.ts');
    await ready.promise;
    await files.write('src/a.ts', 'one');
    await sandbox.exec([
      'sh',
      '-c',
      'mkdir src/lib; sleep 0.1; mv src/a.ts src/lib/b.ts; sleep 0.1; echo two >> src/lib/b.ts; sleep 1',
    ]);
    await files.remove('src/lib/b.ts');
    assert.deepEqual(await seen, [
      'created src/a.ts',
      'created src/lib',
      'moved src/a.ts -> src/lib/b.ts',
      'modified src/lib/b.ts',
      'deleted src/lib/b.ts',
    ]);
  });

  test('a watched sandbox is not idle, and is when nobody watches any more', async () => {
    await using sandbox = await machine(IDLE_MS);
    const stop = new AbortController();
    const watched = Array.fromAsync(sandbox.files.watch('.', { signal: stop.signal }));
    const watchedMs = Number(IDLE_MS) * 2;
    await new Promise((resolve) => setTimeout(resolve, watchedMs));
    assert.equal((await sandbox.exec(['true'])).exitCode, 0);
    stop.abort();
    assert.deepEqual(await watched, []);
    const giveUpAtMs = performance.now() + 20_000;
    while ((await sandbox.refresh()).stoppedAt === undefined && performance.now() < giveUpAtMs)
      await new Promise((resolve) => setTimeout(resolve, 100));
    const { stopReason } = await sandbox.refresh();
    assert.equal(stopReason, StopReason.IDLE);
  });
});
