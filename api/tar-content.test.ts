/** What a tar stream holds, however it is cut, and whatever else it is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { tarContent } from './tar-content.ts';

/** Packed by the machine's own tar: two files, a folder, a link, and a name too long for a plain header. */
function realTar(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'tally-tar-'));
  try {
    mkdirSync(join(folder, 'in', 'deep'), { recursive: true });
    writeFileSync(join(folder, 'in', 'a'), Buffer.alloc(700, 1));
    writeFileSync(join(folder, 'in', 'deep', 'n'.repeat(200)), 'hello');
    symlinkSync('a', join(folder, 'in', 'link'));
    return execFileSync('tar', ['--create', '--file=-', `--directory=${folder}`, 'in']);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the files of a real tar are counted, wherever the stream is cut', () => {
  const tar = realTar();
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: tar.length }), { maxLength: 8 }), (cuts) => {
      const content = tarContent();
      const ends = [...cuts, tar.length].sort((a, b) => a - b);
      ends.forEach((end, index) => void content.look(tar.subarray(ends[index - 1] ?? 0, end)));
      assert.equal(content.bytes(), 705);
    }),
    { numRuns: 100 },
  );
});

test('what is no tar counts as nothing, and random bytes never throw', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(2_000, 'x'), Buffer.alloc(2_000)]) {
    const content = tarContent();
    content.look(bytes);
    assert.equal(content.bytes(), 0);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4_000 }), (bytes) => {
      const content = tarContent();
      content.look(bytes);
      assert.ok(Number.isSafeInteger(content.bytes()));
    }),
  );
});
