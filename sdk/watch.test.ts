/** Watching files through the sdk: order, reconnects, what was missed, and the ways to end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, type FileEvent, type Sandbox } from './index.ts';
import { type FakePlatform, startFakePlatform } from './testing/fake-platform.ts';
import type { WatchOptions } from './watch.ts';

async function sandboxOn(fake: FakePlatform): Promise<Sandbox> {
  const tally = connect({ baseUrl: fake.url, apiKey: fake.addKey() });
  const job = await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
  return job.sandboxes.create();
}

/** Starts to watch; resolves when it is watched. */
async function watching(sandbox: Sandbox, options: WatchOptions = {}) {
  const ready = Promise.withResolvers<void>();
  const iterator = sandbox.files.watch('src', { ...options, onReady: ready.resolve })[Symbol.asyncIterator]();
  const first = iterator.next();
  await Promise.race([ready.promise, first]);
  return { iterator, first };
}

const told = (result: IteratorResult<FileEvent>): FileEvent => {
  assert.equal(result.done, false);
  return result.value;
};

test('events come in order across a lost connection, and leaving the loop closes the watch', async () => {
  await using fake = await startFakePlatform();
  const { iterator, first } = await watching(await sandboxOn(fake), { recursive: true });
  fake.watches.tell({ kind: 'created', path: 'src/a', type: 'file' });
  assert.deepEqual(told(await first), { kind: 'created', path: 'src/a', type: 'file' });
  fake.cutLive();
  fake.watches.tell({ kind: 'moved', path: 'src/b', from: 'src/a', type: 'file' });
  fake.watches.tell({ kind: 'missed', path: 'src', reason: 'behind' });
  assert.deepEqual(told(await iterator.next()), { kind: 'moved', path: 'src/b', from: 'src/a', type: 'file' });
  assert.deepEqual(told(await iterator.next()), { kind: 'missed', path: 'src', reason: 'behind' });
  await iterator.return?.();
  assert.deepEqual([fake.watches.opened, fake.watches.closed.length], [['src'], 1]);
});

test('the end of the directory ends the iteration', async () => {
  await using fake = await startFakePlatform();
  const { iterator, first } = await watching(await sandboxOn(fake));
  fake.watches.tell({ kind: 'deleted', path: 'src/a', type: 'file' });
  fake.watches.tell({ kind: 'ended', path: 'src', reason: 'gone' });
  assert.equal(told(await first).kind, 'deleted');
  assert.equal((await iterator.next()).done, true);
});

test('a watch that was dropped while nobody read is opened anew, and that is told', async () => {
  await using fake = await startFakePlatform();
  const { iterator, first } = await watching(await sandboxOn(fake));
  fake.watches.tell({ kind: 'created', path: 'src/a' });
  await first;
  fake.watches.drop();
  fake.cutLive();
  assert.deepEqual(told(await iterator.next()), { kind: 'missed', path: 'src', reason: 'reopened' });
  const next = iterator.next();
  fake.watches.tell({ kind: 'created', path: 'src/b' });
  assert.equal(told(await next).path, 'src/b');
  await iterator.return?.();
  assert.equal(fake.watches.opened.length, 2);
});

test('the signal ends the iteration without an error', async () => {
  await using fake = await startFakePlatform();
  const stop = new AbortController();
  const { first } = await watching(await sandboxOn(fake), { signal: stop.signal });
  stop.abort();
  assert.equal((await first).done, true);
  assert.equal(fake.watches.closed.length, 1);
});
