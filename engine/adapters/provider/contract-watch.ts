/**
 * What every provider must do with watches, as part of the suite over the port.
 * Promise: what was told adds up, a reader goes on by cursor, and one that fell behind is told so.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractRig } from './contract.ts';
import { packTar } from './mock-tar.ts';
import { ProviderFault } from './port.ts';
import type { FileEvent } from './port-files.ts';

const WAIT_MS = 5_000;
let ids = 0;
const nextId = (): string => `watch${++ids}`;

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };

/** Reads on until an event of this path has come. */
async function until({ provider }: ContractRig, sandbox: string, id: string, path: string, from = 0) {
  const seen: FileEvent[] = [];
  const giveUpAtMs = performance.now() + 2 * WAIT_MS;
  for (let after = from; performance.now() < giveUpAtMs; ) {
    const page = await provider.readWatch(sandbox, id, { after, waitMs: WAIT_MS });
    after = page.next_after;
    seen.push(...page.events);
    if (seen.some((event) => event.path === path)) return { seen, cursor: after };
  }
  throw new Error(`nothing of ${path}: ${seen.map((event) => `${event.kind} ${event.path}`).join(', ')}`);
}

const texts = (events: FileEvent[]): string[] =>
  events.map(({ kind, path, from }) => `${kind} ${from === null ? '' : `${from} -> `}${path}`);

type Rigged = () => ContractRig;

/** Call inside a `describe`; `sandbox` is asked when the tests run. */
export function watchContract(
  rigged: Rigged,
  sandbox: () => string,
  fresh: (rig: ContractRig) => Promise<string>,
): void {
  telling(rigged, sandbox);
  bounding(rigged, sandbox);
  ending(rigged, fresh);
}

function telling(rigged: Rigged, sandbox: () => string): void {
  test('what becomes of files below a folder is told in order, and read on by cursor', async () => {
    const rig = rigged();
    const { provider } = rig;
    const put = (path: string, text = 'x') => provider.putFile(sandbox(), path, Buffer.from(text));
    await put('watched/kept');
    const id = nextId();
    const order = { watch_id: id, path: 'watched', recursive: true };
    const opened = await provider.openWatch(sandbox(), order);
    assert.deepEqual([opened.watch_id, opened.path, opened.next_after], [id, 'watched', 0]);
    await put('watched/new');
    const first = await until(rig, sandbox(), id, 'watched/new');
    assert.deepEqual(texts(first.seen), ['created watched/new']);
    assert.deepEqual([first.seen[0]?.cursor, first.seen[0]?.type], [1, 'file']);
    await put('watched/new', 'other');
    const second = await until(rig, sandbox(), id, 'watched/new', first.cursor);
    assert.deepEqual(texts(second.seen), ['modified watched/new']);
    await provider.movePath(sandbox(), { change_id: id, path: 'watched/new', to: 'watched/moved', overwrite: true });
    const third = await until(rig, sandbox(), id, 'watched/moved', second.cursor);
    assert.deepEqual(texts(third.seen), ['moved watched/new -> watched/moved']);
    await provider.removePath(sandbox(), { change_id: `${id}r`, path: 'watched/moved', recursive: false });
    const fourth = await until(rig, sandbox(), id, 'watched/moved', third.cursor);
    assert.deepEqual(texts(fourth.seen), ['deleted watched/moved']);
    assert.deepEqual((await provider.openWatch(sandbox(), order)).next_after, fourth.cursor);
    const again = await provider.readWatch(sandbox(), id, { after: 0 });
    assert.equal(again.events.length, 4);
    await provider.closeWatch(sandbox(), id);
    const over = await provider.readWatch(sandbox(), id, { after: fourth.cursor });
    assert.deepEqual([texts(over.events), over.events[0]?.reason, over.is_over], [['ended watched'], 'closed', true]);
  });

  test('a plain watch tells the names of its own folder, a deep one also those below', async () => {
    const rig = rigged();
    const { provider } = rig;
    await provider.makeFolder(sandbox(), { change_id: nextId(), path: 'depth', parents: false });
    const [plain, deep] = [nextId(), nextId()];
    await provider.openWatch(sandbox(), { watch_id: plain, path: 'depth', recursive: false });
    await provider.openWatch(sandbox(), { watch_id: deep, path: 'depth', recursive: true });
    for (const path of ['depth/a/b', 'depth/end']) await provider.putFile(sandbox(), path, Buffer.from('x'));
    assert.deepEqual(texts((await until(rig, sandbox(), plain, 'depth/end')).seen), [
      'created depth/a',
      'created depth/end',
    ]);
    assert.deepEqual(texts((await until(rig, sandbox(), deep, 'depth/end')).seen), [
      'created depth/a',
      'created depth/a/b',
      'created depth/end',
    ]);
    for (const id of [plain, deep]) await provider.closeWatch(sandbox(), id);
  });
}

function bounding(rigged: Rigged, sandbox: () => string): void {
  test('a reader that fell behind is told with the first event, and goes on', async () => {
    const rig = rigged();
    const { provider } = rig;
    await provider.makeFolder(sandbox(), { change_id: nextId(), path: 'behind', parents: false });
    const id = nextId();
    await provider.openWatch(sandbox(), { watch_id: id, path: 'behind', recursive: true });
    const files = Array.from({ length: 5_000 }, (_, index): [string, Buffer] => [`f${index}`, Buffer.alloc(0)]);
    await provider.putTree(sandbox(), 'behind', packTar(files));
    await provider.putFile(sandbox(), 'behind/last', Buffer.from('x'));
    let head = await provider.readWatch(sandbox(), id, { after: 5_000, waitMs: WAIT_MS });
    while (!head.events.some(({ path }) => path === 'behind/last'))
      head = await provider.readWatch(sandbox(), id, { after: head.next_after, waitMs: WAIT_MS });
    const page = await provider.readWatch(sandbox(), id, { after: 0 });
    const [missed, next] = page.events;
    assert.deepEqual([missed?.kind, missed?.reason, missed?.cursor], ['missed', 'behind', page.first_cursor - 1]);
    assert.equal(next?.cursor, page.first_cursor);
    await provider.closeWatch(sandbox(), id);
    await provider.removePath(sandbox(), { change_id: nextId(), path: 'behind', recursive: true });
  });

  test('what cannot be watched is refused in a word', async () => {
    const { provider } = rigged();
    const open = (path: string) => provider.openWatch(sandbox(), { watch_id: nextId(), path, recursive: true });
    await provider.putFile(sandbox(), 'unwatched', Buffer.from('x'));
    await assert.rejects(open('nowhere'), isFault('no_such_file', 'gone'));
    await assert.rejects(open('unwatched'), isFault('not_a_folder'));
    await assert.rejects(provider.readWatch(sandbox(), 'none'), isFault('unknown_watch', 'gone'));
    const opened = [];
    for (let count = 0; count < 8; count += 1) opened.push(await open('.'));
    await assert.rejects(open('.'), (fault) => {
      assert.ok(isFault('too_many_watches')(fault));
      return (fault as ProviderFault).facts['cap'] === 8;
    });
    for (const { watch_id: id } of opened) await provider.closeWatch(sandbox(), id);
  });
}

function ending(rigged: Rigged, fresh: (rig: ContractRig) => Promise<string>): void {
  test('a watch ends with its folder, and with its sandbox', async () => {
    const rig = rigged();
    const { provider } = rig;
    const sandbox = await fresh(rig);
    await provider.makeFolder(sandbox, { change_id: 'm', path: 'short', parents: false });
    for (const [id, path] of [
      ['of-folder', 'short'],
      ['of-home', '.'],
    ] as const)
      await provider.openWatch(sandbox, { watch_id: id, path, recursive: true });
    await provider.removePath(sandbox, { change_id: 'r', path: 'short', recursive: true });
    const gone = await until(rig, sandbox, 'of-folder', 'short');
    assert.equal(gone.seen.at(-1)?.reason, 'gone');
    await until(rig, sandbox, 'of-home', 'short');
    await provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
    const ended = await until(rig, sandbox, 'of-home', '.');
    assert.deepEqual([ended.seen.at(-1)?.kind, ended.seen.at(-1)?.reason], ['ended', 'sandbox_ended']);
  });
}
