/**
 * What every provider must do with the paths of a sandbox, as part of the suite over the port.
 * Promise: the same words for the same refusals everywhere, and a change happens once under its name.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ContractRig } from './contract.ts';
import { packTar } from './mock-tar.ts';
import { ProviderFault } from './port.ts';

const MIB = 1 << 20;
let changes = 0;
const changeId = (): string => `change${++changes}`;

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };
const isMissing = isFault('no_such_file', 'gone');

/** The calls of one sandbox, each under a fresh name. */
function pathsOf({ provider }: ContractRig, sandbox: string) {
  const text = (value: string) => Buffer.from(value);
  return {
    put: (path: string, content = 'x') => provider.putFile(sandbox, path, text(content)),
    read: async (path: string) => Buffer.concat(await (await provider.getFile(sandbox, path)).toArray()).toString(),
    typeOf: async (path: string) => (await provider.statPath(sandbox, path)).type,
    mkdir: (path: string, parents = false) => provider.makeFolder(sandbox, { change_id: changeId(), path, parents }),
    move: (path: string, to: string, overwrite = false) =>
      provider.movePath(sandbox, { change_id: changeId(), path, to, overwrite }),
    remove: (path: string, recursive = false) =>
      provider.removePath(sandbox, { change_id: changeId(), path, recursive }),
  };
}

type Rigged = () => ContractRig;

/** Call inside a `describe`; `sandbox` is asked when the tests run. */
export function pathContract(rigged: Rigged, sandbox: () => string): void {
  looking(rigged, sandbox);
  changing(rigged, sandbox);
  onceOnly(rigged, sandbox);
}

function looking(rigged: Rigged, sandbox: () => string): void {
  test('a path is told with its type, its size and its digest', async () => {
    const { provider } = rigged();
    const { put } = pathsOf(rigged(), sandbox());
    await put('stat/file', 'content');
    const sha256 = createHash('sha256').update('content').digest('hex');
    const file = await provider.statPath(sandbox(), 'stat/file', true);
    assert.deepEqual([file.type, file.bytes, file.sha256, file.target], ['file', 7, sha256, null]);
    assert.equal((await provider.statPath(sandbox(), 'stat/file')).sha256, null);
    assert.equal((await provider.statPath(sandbox(), 'stat')).type, 'directory');
    await assert.rejects(provider.statPath(sandbox(), 'stat/none'), isMissing);
    await assert.rejects(provider.statPath(sandbox(), 'stat/file/below'), isFault('not_a_folder'));
    await assert.rejects(provider.statPath(sandbox(), 'n'.repeat(300)), isFault('name_too_long'));
  });

  test('a part of a file behind its end is empty, and a folder is no file', async () => {
    const { provider } = rigged();
    const { put } = pathsOf(rigged(), sandbox());
    await put('part/file', '0123456789');
    const part = async (start: number, end?: number) => {
      const range = end === undefined ? { start } : { start, end };
      return Buffer.concat(await (await provider.getFile(sandbox(), 'part/file', range)).toArray()).toString();
    };
    assert.deepEqual([await part(8), await part(2, 4), await part(9, 99), await part(50)], ['89', '234', '9', '']);
    await assert.rejects(provider.getFile(sandbox(), 'part'), isFault('is_folder'));
    await assert.rejects(provider.listFiles(sandbox(), 'part/file'), isFault('not_a_folder'));
  });
}

function changing(rigged: Rigged, sandbox: () => string): void {
  test('folders are made, with those above when asked', async () => {
    const { mkdir, put, typeOf } = pathsOf(rigged(), sandbox());
    await assert.rejects(mkdir('made/deep'), isMissing);
    assert.deepEqual(await mkdir('made/deep', true), { entries: 1 });
    assert.deepEqual(await mkdir('made/deep', true), { entries: 0 });
    await assert.rejects(mkdir('made/deep'), isFault('file_exists'));
    assert.equal(await typeOf('made'), 'directory');
    const { entries } = await rigged().provider.listFiles(sandbox(), 'made');
    assert.deepEqual(
      entries.map(({ name, type }) => [name, type]),
      [['deep', 'directory']],
    );
    await put('made/file');
    await assert.rejects(mkdir('made/file', true), isFault('file_exists'));
  });

  test('a move renames, and replaces only when it may', async () => {
    const { mkdir, move, put, read, typeOf } = pathsOf(rigged(), sandbox());
    for (const name of ['a', 'b', 'tree/x', 'full/y']) await put(`move/${name}`, name);
    await mkdir('move/empty');
    await move('move/a', 'move/c');
    await assert.rejects(move('move/a', 'move/d'), isMissing);
    await assert.rejects(move('move/c', 'move/none/d'), isMissing);
    await assert.rejects(move('move/c', 'move/b'), isFault('file_exists'));
    await move('move/c', 'move/b', true);
    assert.equal(await read('move/b'), 'a');
    await assert.rejects(move('move/tree', 'move/full', true), isFault('folder_not_empty'));
    await assert.rejects(move('move/b', 'move/empty', true), isFault('is_folder'));
    await assert.rejects(move('move/tree', 'move/b', true), isFault('not_a_folder'));
    await assert.rejects(move('move/tree', 'move/tree/x2'), isFault('into_itself'));
    await assert.rejects(move('move/b', '/tmp/b'), isFault('crosses_mounts'));
    await move('move/tree', 'move/empty', true);
    assert.deepEqual([await read('move/empty/x'), await typeOf('move')], ['tree/x', 'directory']);
  });

  test('a removal takes what is empty, or all below when asked', async () => {
    const { mkdir, put, remove } = pathsOf(rigged(), sandbox());
    await put('gone/tree/file');
    await mkdir('gone/empty');
    await assert.rejects(remove('gone'), isFault('folder_not_empty'));
    assert.deepEqual(await remove('gone/empty'), { entries: 1 });
    assert.deepEqual(await remove('gone', true), { entries: 3 });
    await assert.rejects(remove('gone', true), isMissing);
    for (const path of ['.', '..', '/']) await assert.rejects(remove(path, true), isFault('file_fault'), path);
    await assert.rejects(remove('/home/user', true), isFault('is_mount'));
  });
}

function onceOnly(rigged: Rigged, sandbox: () => string): void {
  test('a change under the same name happens once, and a refusal is told again', async () => {
    const { provider } = rigged();
    const { put, typeOf } = pathsOf(rigged(), sandbox());
    await put('once');
    const order = { change_id: changeId(), path: 'once', recursive: false };
    const first = await provider.removePath(sandbox(), order);
    await put('once');
    assert.deepEqual(await provider.removePath(sandbox(), order), first);
    assert.equal(await typeOf('once'), 'file');
    const refused = { change_id: changeId(), path: 'later', recursive: false };
    await assert.rejects(provider.removePath(sandbox(), refused), isMissing);
    await put('later');
    await assert.rejects(provider.removePath(sandbox(), refused), isMissing);
  });

  test('what does not fit is refused with cap, asked and available', async () => {
    const { provider } = rigged();
    await assert.rejects(provider.putFile(sandbox(), 'large/file', Buffer.alloc(40 * MIB)), (fault) => {
      assert.ok(isFault('quota_full')(fault));
      const { cap_bytes: cap, asked_bytes: asked, available_bytes: available } = (fault as ProviderFault).facts;
      assert.equal(asked, 40 * MIB);
      assert.ok(Number(cap) <= 32 * MIB && Number(available) <= Number(cap) && Number(available) > 0);
      return true;
    });
    await assert.rejects(provider.statPath(sandbox(), 'large'), isMissing);
    const tree = packTar([['large', Buffer.alloc(40 * MIB)]]);
    await assert.rejects(provider.putTree(sandbox(), 'wide', tree, 40 * MIB), (fault) => {
      assert.ok(isFault('quota_full')(fault));
      return (fault as ProviderFault).facts['asked_bytes'] === 40 * MIB;
    });
    await assert.rejects(provider.statPath(sandbox(), 'wide'), isMissing);
  });
}
