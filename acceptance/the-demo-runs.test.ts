/**
 * What `npm run demo` shows: a whole life on real input, as data, with figures that follow what was asked for.
 * Promise: run as people run it, in a process of its own, with nothing but its exit code and its file looked at.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bookProblems } from './harness/books.ts';
import { ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';

const DEMO = join(ROOT, 'infra', 'local', 'demo.ts');
const DEMO_MS_MAX = 90_000;

/** What issue and README promise; more may stand beside them. */
const KEYS = {
  wallet: 'string',
  job_id: 'string',
  sandbox_id: 'string',
  quantum_ms: 'number',
  minutes_sold: 'number',
  price_micros_per_minute: 'number',
  deposited_micros: 'number',
  spent_micros: 'number',
  refunded_micros: 'number',
  balance_micros: 'number',
  stop_reason: 'string',
  paid_until: 'string',
  stopped_at: 'string',
  receipts: 'number',
  export: 'string',
  verified: 'boolean',
  report: 'string',
} as const;

type Result = Record<string, unknown> & {
  [K in keyof typeof KEYS]: { string: string; number: number; boolean: boolean }[(typeof KEYS)[K]];
};

interface Run {
  result: Result;
  said: string;
}

function writeInput(folder: string): void {
  for (const [name, licence] of [
    ['left', 'MIT'],
    ['right', 'ISC'],
  ] as const) {
    mkdirSync(join(folder, name), { recursive: true });
    const manifest = { name, version: '1.0.0', license: licence, scripts: name === 'left' ? { install: 'make' } : {} };
    writeFileSync(join(folder, name, 'package.json'), JSON.stringify(manifest));
  }
  writeFileSync(join(folder, 'left', 'id_rsa'), 'not a real key');
}

async function runDemo(folder: string, name: string, budget: string): Promise<Run> {
  const json = join(folder, `${name}.json`);
  const flags = ['--data', join(folder, name), '--input', join(folder, 'input'), '--json', json];
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [DEMO, ...flags, '--budget', budget, '--quantum', '1s'], {
    timeout: DEMO_MS_MAX,
  });
  return { result: JSON.parse(readFileSync(json, 'utf8')) as Result, said: stdout };
}

describe('the demo runs', { concurrency: 3 }, () => {
  const folder = temporaryFolder();
  let small: Run;
  let large: Run;
  before(async () => {
    writeInput(join(folder, 'input'));
    [small, large] = await Promise.all([runDemo(folder, 'small', '60micros'), runDemo(folder, 'large', '120micros')]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('its data has the promised members with the promised types', () => {
    for (const { result } of [small, large])
      for (const [key, type] of Object.entries(KEYS)) assert.equal(typeof result[key], type, `${key}: ${result[key]}`);
  });

  test('[I-09] [I-13] money adds up: deposited = balance + spent, spent = minutes times price less refunds', () => {
    for (const { result } of [small, large]) {
      assert.equal(result.deposited_micros, result.balance_micros + result.spent_micros);
      const perQuantum = Math.ceil((result.price_micros_per_minute * result.quantum_ms) / 60_000);
      assert.equal(result.spent_micros, result.minutes_sold * perQuantum - result.refunded_micros);
    }
  });

  test('[I-03] [I-05] the budget moves the stop, and the machine never outlives what was paid', () => {
    assert.deepEqual([small.result.stop_reason, large.result.stop_reason], ['job_cap', 'job_cap']);
    assert.ok(small.result.spent_micros <= 60 && large.result.spent_micros <= 120);
    assert.ok(large.result.minutes_sold > small.result.minutes_sold, 'twice the budget did not buy more');
    for (const { result } of [small, large]) {
      assert.equal(result.quantum_ms, 1_000);
      assert.ok(Date.parse(result.stopped_at) <= Date.parse(result.paid_until));
      assert.ok(Date.parse(String(result['last_tick_at'])) <= Date.parse(result.paid_until));
    }
    assert.notEqual(small.result.wallet, large.result.wallet);
  });

  test('the report is of the input that was sent', () => {
    const found = small.result['found'] as Record<string, number>;
    assert.deepEqual([found['packages'], found['licences'], found['with_install_scripts']], [2, 2, 1]);
    assert.ok(found['secret_like_files']! >= 1);
    const report = readFileSync(small.result.report, 'utf8');
    assert.match(report, /left/);
    assert.match(report, /ISC/);
  });

  test('[I-20] the export verifies, and a flipped byte is noticed and placed', () => {
    for (const { result, said } of [small, large]) {
      assert.equal(result.verified, true);
      assert.equal(result['tampering_noticed'], true);
      assert.ok(result.receipts > 10);
      assert.match(said, /flipped byte .* line \d+/);
      const lines = readFileSync(result.export, 'utf8').trimEnd().split('\n');
      assert.equal(lines.filter((line) => 'receipt' in JSON.parse(line)).length, result.receipts);
    }
  });

  test('the platform that it leaves behind starts again, and its books are right', async () => {
    await using platform = await startPlatform({ folder: join(folder, 'small') });
    assert.deepEqual(await bookProblems(platform.folder), []);
  });
});
