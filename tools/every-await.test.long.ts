/**
 * Every test in which a process dies at one point after another, with no point left out: before and after each thing that it asks of
 * the chain or the database, and between.
 * Promise: the same files leave points out in the ordinary suite, and nowhere else.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { passes, ROOT } from './spawned-tests.ts';

/** How many points a test goes on by. */
const SETTING = 'TALLY_CRASH_STEP';
/** What their titles have in common. */
const TITLES = 'dies';

const files = globSync('meter/**/*.test.ts', { cwd: ROOT })
  .filter((file) => readFileSync(join(ROOT, file), 'utf8').includes(SETTING))
  .sort();

for (const file of files)
  test(`[I-38] ${file}: a death at every point`, () =>
    passes(file, { [SETTING]: '1' }, `--test-name-pattern=${TITLES}`));

test('payouts, payments and sweeps are among them', () => {
  const names = files.map((file) => file.replace(/^.*\//, ''));
  assert.deepEqual(names, ['broadcaster.test.ts', 'quotes.test.ts', 'sweeper.test.ts']);
});
