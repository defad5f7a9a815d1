/**
 * A file of tests run by a Node of its own, with other settings than ours.
 * Promise: what it printed last is told, so that a failure in it can be read where it was asked for.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';

export const ROOT = dirname(import.meta.dirname);
const SAID_CHARS_MAX = 8_000;

/** `file` is below the root. @errors rejects with AssertionError when it fails, or when nothing in it ran */
export async function passes(file: string, settings: NodeJS.ProcessEnv, ...options: string[]): Promise<void> {
  const usual = ['--test', '--test-isolation=none', '--test-reporter=spec'];
  const child = spawn(process.execPath, [...usual, ...options, join(ROOT, file)], {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_CHARS_MAX);
    });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, said);
  assert.match(said, /pass [1-9]/, 'no test ran');
}
