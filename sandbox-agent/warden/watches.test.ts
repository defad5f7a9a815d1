/** Watches through the warden: what is told of a real tree, and what a slow reader and a hostile tenant get. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import { WATCH_EVENTS_KEPT_MAX, WATCHES_KEPT_MAX, WATCHES_MAX, type WatchEvent } from './watches.ts';

const S0 = '/v1/sandboxes/s0';

describe('watches of a sandbox', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];
  let count = 0;

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Parameters<typeof wardenFor>[0]);
    const made = await warden.create(300_000, { disk_mib: 512 });
    assert.equal(made.status, 200, made.bytes.toString());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  const run = async (line: string): Promise<void> => {
    const exec_id = `run-${++count}`;
    await warden.call('POST', `${S0}/execs`, { exec_id, argv: ['sh', '-c', line] });
    const { end } = (await warden.call('GET', `${S0}/execs/${exec_id}?wait_ms=30000`)).json;
    assert.deepEqual(end, { end: 'exited', code: 0 });
  };
  const open = async (path: string, recursive = true) => {
    const order = { watch_id: `wch_${++count}`, path, recursive };
    const { status, json } = await warden.call('POST', `${S0}/watches`, order);
    return { status, json, id: order.watch_id };
  };
  const page = async (id: string, cursor: number, waitMs = 2_000) =>
    (await warden.call('GET', `${S0}/watches/${id}?after=${cursor}&wait_ms=${waitMs}`)).json;
  const close = (id: string) => warden.call('POST', `${S0}/watches/${id}/close`, {});
  const textOf = ({ kind, path, from }: WatchEvent): string => `${kind} ${from ? `${from} -> ` : ''}${path}`;
  /** Everything up to the first event of this path. */
  const until = async (id: string, last: string, cursor = 0): Promise<string[]> => {
    const seen: string[] = [];
    for (let after = cursor, round = 0; round < 10; round += 1) {
      const { events, next_after } = await page(id, after);
      after = next_after;
      seen.push(...events.map(textOf));
      if (seen.some((text) => text.endsWith(last))) return seen;
    }
    throw new Error(`no ${last} in ${seen.join(', ')}`);
  };

  /** What the told changes add up to, once that is what was expected, or at last. */
  const replayedUntil = async (id: string, wanted: string[]): Promise<string[]> => {
    const seen: string[] = [];
    for (let after = 0, round = 0; round < 10; round += 1) {
      const { events, next_after } = await page(id, after);
      after = next_after;
      seen.push(...events.map(textOf));
      if (replayed(seen).join() === wanted.join()) break;
    }
    return replayed(seen);
  };

  test('what is made, changed, moved and removed is told, with everything below', async () => {
    await run('mkdir -p ~/w/old; echo 1 > ~/w/old/a; echo 1 > ~/w/b');
    const { id, json } = await open('w');
    assert.deepEqual([json.directories, json.next_after, json.is_over], [2, 0, false]);
    await run('echo 2 >> ~/w/b; mkdir -p ~/w/new/deep; echo 3 > ~/w/new/deep/c; sleep 0.1; echo 4 > ~/w/m1');
    const first = await until(id, 'w/m1');
    assert.deepEqual(
      new Set(first),
      new Set(['modified w/b', 'created w/new', 'created w/new/deep', 'created w/new/deep/c', 'created w/m1']),
    );
    const { next_after } = await page(id, 0);
    await run(
      'mv ~/w/old ~/w/new/moved; echo 5 >> ~/w/new/moved/a; sleep 0.2; mv ~/w/b ~/w/new/b; rm -r ~/w/new/deep; sleep 0.1; echo > ~/w/m2',
    );
    const second = await until(id, 'w/m2', next_after);
    assert.deepEqual(
      second.filter((text) => !text.endsWith('deep/c')),
      [
        'moved w/old -> w/new/moved',
        'modified w/new/moved/a',
        'moved w/b -> w/new/b',
        'deleted w/new/deep',
        'created w/m2',
      ],
    );
    await close(id);
    assert.deepEqual((await page(id, 0, 0)).events.at(-1).reason, 'closed');
  });

  test('a put is told once and whole; a link is told and not followed; a plain watch tells its own names only', async () => {
    await run('mkdir -p ~/p/sub ~/elsewhere; ln -s ~/elsewhere ~/p/link');
    const { id } = await open('p', false);
    await warden.call('PUT', `${S0}/files?path=p/put`, Buffer.alloc(3_000_000));
    await warden.call('PUT', `${S0}/files?path=p/put`, Buffer.from('again'));
    await run('echo > ~/elsewhere/x; echo > ~/p/sub/x; ln -s / ~/p/root; sleep 0.1; echo > ~/p/end');
    const seen = await until(id, 'p/end');
    assert.equal(seen[0], 'created p/put');
    assert.deepEqual(
      seen.filter((text) => !text.includes('p/put')),
      ['created p/root', 'created p/end'],
    );
    await close(id);
  });

  test('a reader that fell behind is told, and goes on from there', async () => {
    await run('mkdir ~/flood');
    const { id } = await open('flood');
    await run('cd ~/flood; seq 6000 | xargs touch; sleep 0.3');
    let cursor = 0;
    const kinds: string[] = [];
    for (let events: WatchEvent[] = [{} as WatchEvent]; events.length > 0; ) {
      const told = await page(id, cursor, 500);
      ({ events } = told);
      cursor = told.next_after;
      kinds.push(...events.map(({ kind, reason }) => `${kind} ${reason}`));
    }
    assert.equal(kinds[0], 'missed behind');
    assert.equal(kinds.length, 1 + WATCH_EVENTS_KEPT_MAX);
    assert.ok(kinds.filter((kind) => kind === 'created null').length > 4_000);
    await run('echo > ~/flood/last');
    assert.deepEqual((await until(id, 'flood/last', cursor)).length, 1);
    await close(id);
  });

  test('the end of the folder ends the watch; what cannot be watched is refused in a word', async () => {
    await run('mkdir ~/end; echo > ~/file');
    const { id } = await open('end');
    await run('rm -r ~/end');
    assert.deepEqual(await until(id, 'end'), ['ended end']);
    const over = await page(id, 0, 0);
    assert.deepEqual([over.is_over, over.events[0].reason], [true, 'gone']);
    assert.equal((await open('none')).json.code, 'no_such_file');
    assert.equal((await open('file')).json.code, 'not_a_folder');
    assert.equal((await page('wch_none', 0, 0)).code, 'unknown_watch');
    await run('mkdir ~/wide; cd ~/wide; seq 4200 | xargs mkdir');
    const wide = (await open('wide')).json;
    assert.deepEqual([wide.code, wide.cap], ['watch_too_large', 4_096]);
    await run('mkdir ~/half; cd ~/half; seq 2100 | xargs mkdir');
    const half = await open('half');
    assert.equal(half.json.directories, 2_101);
    assert.equal((await open('half')).json.code, 'watch_too_large');
    await close(half.id);
    const again = await open('half');
    assert.equal(again.status, 200);
    await close(again.id);
    const plain = await open('wide', false);
    assert.equal(plain.json.directories, 1);
    await close(plain.id);
  });

  test('the same id is the same watch, and there are only so many', async () => {
    await run('mkdir ~/many');
    const opened = [];
    for (let index = 0; index < WATCHES_MAX; index += 1) opened.push(await open('many'));
    const again = await warden.call('POST', `${S0}/watches`, {
      watch_id: opened[0]!.id,
      path: 'many',
      recursive: true,
    });
    assert.equal(again.status, 200);
    const refused = await open('many');
    assert.deepEqual([refused.status, refused.json.code, refused.json.cap], [429, 'too_many_watches', WATCHES_MAX]);
    for (const { id } of opened) await close(id);
    for (let index = 0; index < WATCHES_KEPT_MAX; index += 1) {
      const { status, id } = await open('many');
      assert.equal(status, 200);
      await close(id);
    }
    assert.equal((await page(opened[0]!.id, 0, 0)).code, 'unknown_watch');
  });

  /** The names that must stand there by what was told. */
  const replayed = (events: string[]): string[] => {
    const names = new Set<string>();
    const below = (path: string) => [...names].filter((name) => name === path || name.startsWith(`${path}/`));
    for (const event of events) {
      const [, kind, from, path = ''] = /^(\w+) (?:(\S+) -> )?(\S+)$/.exec(event) ?? [];
      if (kind === 'created') names.add(path);
      if (kind === 'deleted') for (const name of below(path)) names.delete(name);
      if (kind === 'moved')
        for (const name of below(from as string)) {
          names.delete(name);
          names.add(`${path}${name.slice((from as string).length)}`);
        }
    }
    return [...names].sort();
  };

  test('a folder that is moved while things happen in it is followed: what was told adds up to what is there', async () => {
    await run('mkdir ~/busy');
    const { id } = await open('busy');
    const steps = 'for i in $(seq 30); do echo > d$((i-1))/f$i; mv d$((i-1)) d$i; done';
    await run(`cd ~/busy; mkdir d0; ${steps}; mkdir other; mv d30/f5 other/; rm d30/f6; sleep 0.2; echo > d30/last`);
    const there = Array.from({ length: 30 }, (_, index) => `busy/d30/f${index + 1}`);
    const files = there.filter((name) => !/f[56]$/.test(name));
    const wanted = ['busy/d30', ...files, 'busy/d30/last', 'busy/other', 'busy/other/f5'].sort();
    assert.deepEqual(await replayedUntil(id, wanted), wanted);
    await close(id);
  });

  test('what takes the place of something is told so that it adds up', async () => {
    await run('mkdir -p ~/take/a/x ~/take/empty ~/take/dir; echo > ~/take/file; echo > ~/take/over');
    const { id } = await open('take');
    await run(
      'cd ~/take; perl -e \'rename "a", "empty"; rename "file", "over"; rmdir "dir"; open F, ">dir"; close F\'',
    );
    await run('sleep 0.2; echo > ~/take/last');
    const seen = await until(id, 'take/last');
    assert.deepEqual(
      new Set(seen),
      new Set([
        'moved take/a -> take/empty',
        'moved take/file -> take/over',
        'deleted take/dir',
        'created take/dir',
        'created take/last',
      ]),
    );
    assert.ok(seen.indexOf('deleted take/dir') < seen.indexOf('created take/dir'));
    await close(id);
  });
});
