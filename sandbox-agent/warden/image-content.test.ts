/** Digests of disk images, and the owner of their files, on real file systems. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../testing/rig.ts';
import { prepareDisk } from './disk.ts';
import { contentDigest, giveAllTo } from './image-content.ts';
import { imageTask } from './image-work.ts';

const MIB = 1 << 20;
const folder = temporaryFolder();
after(() => rmSync(folder, { recursive: true, force: true }));

const change = (file: string, at: number): void => {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.from([1]), 0, 1, at);
  closeSync(descriptor);
};

test('the digest is one of content: holes, how the file was copied and who asks make no difference, one byte does', async () => {
  const [sparse, dense, other] = ['sparse', 'dense', 'other'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(sparse, '');
  truncateSync(sparse, 40 * MIB + 12_345);
  for (const at of [0, 65_535, 65_536, 7 * MIB + 1, 40 * MIB + 12_344]) change(sparse, at);
  execFileSync('cp', ['--sparse=never', sparse, dense]);
  copyFileSync(sparse, other);
  const digest = contentDigest(sparse);
  assert.equal(contentDigest(dense), digest);
  assert.equal(await imageTask({ file: other, digest: true }), digest);
  change(other, 20 * MIB);
  assert.notEqual(contentDigest(other), digest);
  truncateSync(dense, 41 * MIB);
  assert.notEqual(contentDigest(dense), digest, 'so does its length');
});

test('every file gets the new owner, the root too, and nothing else of the file system changes', async () => {
  const templates = join(folder, 'templates');
  mkdirSync(templates);
  const file = join(folder, 'disk.img');
  await prepareDisk({ kind: 'image', bytesMax: 256 * MIB, file, mountPoint: join(folder, 'mount') }, 1_234, templates);
  const source = join(folder, 'text');
  writeFileSync(source, 'text');
  const script = Array.from({ length: 40 }, (_, index) => `write ${source} d${index}-f`).join('\n');
  execFileSync('debugfs', ['-w', '-f', '-', file], { input: script, stdio: ['pipe', 'pipe', 'pipe'] });
  giveAllTo(file, 3_000_123);
  const told = (what: string): string =>
    execFileSync('debugfs', ['-R', what, file], { encoding: 'utf8', stdio: 'pipe' });
  for (const path of ['/', '/d0-f', '/d39-f'])
    assert.match(told(`stat ${path}`), /User: +3000123 +Group: +3000123/, path);
  execFileSync('e2fsck', ['-f', '-n', file], { stdio: 'pipe' });
  assert.equal(told('cat /d7-f'), 'text');
});

test('what is no file system of ours is left alone, and said so', async () => {
  const file = join(folder, 'noise');
  for (const content of ['', 'x'.repeat(10_000)]) {
    writeFileSync(file, content);
    assert.throws(() => giveAllTo(file, 1), /not an ext4 image/);
  }
  await assert.rejects(imageTask({ file, owner: 1 }), /not an ext4 image/);
  await assert.rejects(imageTask({ file: join(folder, 'none'), digest: true }), /ENOENT/);
  truncateSync(file, 16 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-F', '-O', 'metadata_csum', file], { stdio: 'pipe' });
  assert.throws(() => giveAllTo(file, 1), /not an image of ours/);
});
