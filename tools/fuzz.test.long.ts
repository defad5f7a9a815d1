/**
 * Every fuzz test of the repository with a million inputs each (TALLY_FUZZ_INPUTS), from one seed (TALLY_SEED).
 * Promise: the seed is printed before the first input; the same files run a small sample in the ordinary suite.
 */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { test } from 'node:test';
import { passes, ROOT } from './spawned-tests.ts';

const INPUTS_DEFAULT = '1000000';
const SEED_MAX = 2 ** 31;

const inputs = process.env['TALLY_FUZZ_INPUTS'] ?? INPUTS_DEFAULT;
const seed = process.env['TALLY_SEED'] ?? String(Math.floor(Math.random() * SEED_MAX));
const files = globSync('**/*.fuzz.test.ts', { cwd: ROOT, exclude: (name) => name === 'node_modules' }).sort();

for (const file of files)
  test(`${file}: ${inputs} inputs from seed ${seed}`, async (context) => {
    context.diagnostic(`TALLY_SEED=${seed} repeats it`);
    await passes(file, { TALLY_FUZZ_INPUTS: inputs, TALLY_SEED: seed });
  });

test('there are fuzz tests', () => {
  assert.ok(files.length >= 5, files.join(', '));
});
