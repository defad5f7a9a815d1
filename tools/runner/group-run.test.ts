/**
 * The runner against planted test files: each way in which a run can go wrong.
 * Promise: nothing that went wrong can end as a pass.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type GroupResult, runGroup } from './group-run.ts';

const HEAD = "import { it, describe } from 'node:test';\n";

describe('a group of tests in one process', () => {
  const root = mkdtempSync(join(tmpdir(), 'tally-runner-'));
  after(() => rmSync(root, { recursive: true }));

  async function runPlanted(...sources: string[]): Promise<GroupResult> {
    return await runWithin(60_000, ...sources);
  }

  async function runWithin(msMax: number, ...sources: string[]): Promise<GroupResult> {
    const files = sources.map((source, index) => {
      writeFileSync(join(root, `planted-${index}.test.ts`), HEAD + source);
      return `planted-${index}.test.ts`;
    });
    return await runGroup({ name: 'planted', files, isAlone: false }, root, () => {}, msMax);
  }

  it('counts tests over several files, and suites not at all', async () => {
    const result = await runPlanted(
      "describe('s', () => { it('a', () => {}); it('b', () => {}); });",
      "it('c', () => {});",
    );
    assert.equal(result.passed, 3);
    assert.deepEqual(result.failures, []);
  });

  it('tells a failure once, with its title, cause and what was printed', async () => {
    const result = await runPlanted(
      "describe('s', () => { it('breaks', () => { console.log('meanwhile'); throw new Error('why'); }); it('b', () => {}); });",
    );
    assert.equal(result.passed, 1);
    assert.equal(result.failures.length, 1);
    assert.equal(result.failures[0]?.title, 's > breaks');
    assert.match(result.failures[0]?.detail ?? '', /why/);
    assert.match(result.failures[0]?.output ?? '', /meanwhile/);
  });

  it('keeps the reason of a skip', async () => {
    const result = await runPlanted("it('s', { skip: 'no-kvm: no device' }, () => {}); it('a', () => {});");
    assert.deepEqual(result.skips, [{ title: 's', reason: 'no-kvm: no device' }]);
    assert.deepEqual(result.failures, []);
  });

  const rows: [string, string, RegExp][] = [
    ['a skip without a reason', "it('s', { skip: true }, () => {});", /skipped without a reason/],
    [
      'a process that crashes',
      "it('a', () => { process.kill(process.pid, 'SIGKILL'); });",
      /ended early: signal SIGKILL/,
    ],
    ['a process that exits early', "it('a', () => { process.exit(0); });", /ended early: exit code 0/],
    ['a file that cannot be loaded', "import './nothing-here.ts';", /nothing-here/],
    ['a file without a test', '', /no test found in this file/],
    [
      'a rejection after its test',
      "it('a', () => { void Promise.reject(new Error('late')); }); it('b', () => new Promise(setImmediate));",
      /late/,
    ],
  ];
  for (const [title, source, expected] of rows)
    it(`counts ${title} as a failure`, async () => {
      const result = await runPlanted(source);
      assert.ok(result.failures.length > 0);
      assert.match(result.failures.map((failure) => failure.detail + failure.output).join('\n'), expected);
    });

  it('tells a program and a server that a test left behind, and does not wait for them', async () => {
    const imports = "import { spawn } from 'node:child_process'; import { createServer } from 'node:net';";
    const left = "spawn('sleep', ['5']); createServer().listen(0, '127.0.0.1'); setInterval(() => {}, 1000);";
    const result = await runPlanted(`${imports} it('a', () => { ${left} });`);
    assert.equal(result.passed, 1);
    assert.match(result.failures[0]?.detail ?? '', /ProcessWrap, TCPServerWrap/);
  });

  it('kills a test that never ends, and counts it as a failure', async () => {
    const endless = "it('a', async () => { setInterval(() => {}, 1000); await new Promise(() => {}); });";
    const result = await runWithin(1_000, endless);
    assert.match(result.failures[0]?.detail ?? '', /killed after 1 s/);
  });

  it('does not wait for a detached program that holds the pipes open', async () => {
    const stray = "spawn('sleep', ['2'], { stdio: ['ignore', 'inherit', 'inherit', 3], detached: true }).unref();";
    const result = await runPlanted(`import { spawn } from 'node:child_process'; it('a', () => { ${stray} });`);
    assert.equal(result.passed, 1);
    assert.ok(result.durationMs < 1_900, `took ${result.durationMs} ms`);
  });
});
