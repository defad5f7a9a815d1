import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { planDisk, prepareDisk, TMPFS_BYTES_MAX } from './disk.ts';

test('a disk is formatted also when the PATH of whoever started the warden lacks the programs of the system', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tally-disk-'));
  const path = process.env['PATH'];
  try {
    mkdirSync(join(folder, 'templates'));
    process.env['PATH'] = '/nowhere';
    const disk = planDisk(folder, TMPFS_BYTES_MAX);
    await prepareDisk(disk, 100_000, join(folder, 'templates'));
    assert.ok(disk.kind === 'image' && statSync(disk.file).size === TMPFS_BYTES_MAX);
  } finally {
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true });
  }
});
