/**
 * Every fuzz test of the repository with a million inputs each (TALLY_FUZZ_INPUTS), from one seed (TALLY_SEED).
 * Promise: the seed is printed before the first input; the same files run a small sample in the ordinary suite.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const ROOT = dirname(import.meta.dirname);
const INPUTS_DEFAULT = '1000000';
const SAID_CHARS_MAX = 8_000;
const SEED_MAX = 2 ** 31;

const inputs = process.env['TALLY_FUZZ_INPUTS'] ?? INPUTS_DEFAULT;
const seed = process.env['TALLY_SEED'] ?? String(Math.floor(Math.random() * SEED_MAX));
const files = globSync('**/*.fuzz.test.ts', { cwd: ROOT, exclude: (name) => name === 'node_modules' }).sort();

/** What it printed last, and how it ended. */
async function run(file: string): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['--test', '--test-isolation=none', '--test-reporter=spec', join(ROOT, file)], {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: '', TALLY_FUZZ_INPUTS: inputs, TALLY_SEED: seed },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_CHARS_MAX);
    });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

for (const file of files)
  test(`${file}: ${inputs} inputs from seed ${seed}`, async (context) => {
    context.diagnostic(`TALLY_SEED=${seed} repeats it`);
    const { code, said } = await run(file);
    assert.equal(code, 0, said);
    assert.match(said, /pass [1-9]/, 'no test ran');
  });

test('there are fuzz tests', () => {
  assert.ok(files.length >= 5, files.join(', '));
});
