/**
 * Which files run in which group, and what the words of the command line choose.
 * Promise: no test file is left out or run twice.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { chooseGroups, findTestFiles, groupFiles } from './groups.ts';

const FILES = [
  'acceptance/whole-path.test.ts',
  'engine/adapters/provider/local.test.ts',
  'engine/commit/commit.test.ts',
  'kernel/money.test.ts',
  'meter/chain/watcher.test.ts',
  'sandbox-agent/warden/lease.test.ts',
  'sdk/ids.test.ts',
  'somewhere/new.test.ts',
];
const LONG = 'sandbox-agent/warden/leak.test.long.ts';

function plantTree(files: readonly string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'tally-groups-'));
  for (const file of files) {
    mkdirSync(join(root, file, '..'), { recursive: true });
    writeFileSync(join(root, file), '');
  }
  return root;
}

const namesAndFiles = (groups: ReturnType<typeof groupFiles>) =>
  Object.fromEntries(groups.map((group) => [group.name, group.files]));

describe('test groups', () => {
  const root = plantTree([...FILES, LONG, 'node_modules/x/x.test.ts', 'proto/gen/y.test.ts', '.tally/z.test.ts']);
  after(() => rmSync(root, { recursive: true }));

  it('claims every file once, unknown folders as unit tests', () => {
    assert.deepEqual(namesAndFiles(groupFiles(FILES)), {
      unit: ['kernel/money.test.ts', 'somewhere/new.test.ts'],
      clients: ['sdk/ids.test.ts'],
      engine: ['engine/commit/commit.test.ts', 'meter/chain/watcher.test.ts'],
      sandbox: ['engine/adapters/provider/local.test.ts', 'sandbox-agent/warden/lease.test.ts'],
      acceptance: ['acceptance/whole-path.test.ts'],
    });
  });

  it('looks into no installed, generated or working folder', () => {
    assert.deepEqual(findTestFiles(root), [...FILES, LONG].sort());
  });

  const rows: [string, string[], string[]][] = [
    ['nothing: all but the long ones', [], FILES],
    ['the long group', ['long'], [LONG]],
    ['a folder, without its long ones', ['sandbox-agent'], FILES.slice(5, 6)],
    ['a group', ['engine'], ['engine/commit/commit.test.ts', 'meter/chain/watcher.test.ts']],
    ['a folder holds more than one group', ['engine/'], FILES.slice(1, 3)],
    ['a file', ['./kernel/money.test.ts'], ['kernel/money.test.ts']],
    ['a glob', ['k*/*.test.ts'], ['kernel/money.test.ts']],
    ['words that overlap', ['unit', 'kernel'], ['kernel/money.test.ts', 'somewhere/new.test.ts']],
  ];
  for (const [title, words, expected] of rows)
    it(`chooses by ${title}`, () => {
      const chosen = chooseGroups(words, root).flatMap((group) => group.files);
      assert.deepEqual(chosen.sort(), expected);
    });

  it('refuses a word that matches nothing', () => {
    assert.throws(() => chooseGroups(['kernle'], root), /no test file matches kernle; groups: unit/);
  });
});
