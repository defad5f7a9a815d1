/** The compiled contracts are what their sources compile to. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const COMPILE = join(import.meta.dirname, '..', '..', '..', 'tools', 'solidity', 'compile.ts');

test('what is checked in is what the compiler makes of the sources', () => {
  const { status, stderr } = spawnSync(process.execPath, [COMPILE, '--check'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
