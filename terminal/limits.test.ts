/** How limits, caps and numbers are told to people. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'node:test';
import { startFakePlatform } from '@tallystick/sdk/testing';
import pico from 'picocolors';
import { policyText } from './output/policy.ts';
import { recordText } from './output/render.ts';
import { openTerminal } from './testing/terminal.ts';

const PLAIN = pico.createColors(false);

test('the policy shows each cap, what of it is used and left, and how to get more', () => {
  const text = policyText(
    {
      principal: 'eip155:1:0x1',
      tier: 'standard',
      caps: {
        spend_micros_per_job_max: 1_000_000_000,
        spend_micros_per_day_max: 100_000_000,
        ttl_ms_default: 86_400_000,
        ttl_ms_max: 2_592_000_000,
        sandboxes_max: 100,
        quantum_ms_min: 1_000,
        snapshot_bytes_max: 42_949_672_960,
        egress: ['none', 'allowlist'],
      },
      use: {
        day: '2026-11-21',
        spent_today_micros: 250_000,
        left_today_micros: 99_750_000,
        sandboxes_running: 1,
        sandboxes_left: 99,
      },
    },
    PLAIN,
  );
  for (const row of [
    /^tier +standard$/m,
    /^day +2026-11-21$/m,
    /^CAP +ALLOWED +USED +LEFT$/m,
    /^spend per day +\$100\.00 +\$0\.25 +\$99\.75$/m,
    /^sandboxes +100 +1 +99$/m,
    /^spend per job +\$1000\.00$/m,
    /^ttl \(default\) +1d$/m,
    /^ttl +30d$/m,
    /^quantum \(min\) +1s$/m,
    /^snapshot bytes +40 GiB$/m,
    /^egress +none, allowlist$/m,
    /How to get more: .*tier/,
  ])
    assert.match(text, row);
});

test('what was asked, what applies and what clamped it is shown, also when nothing was clamped', () => {
  const clamps = [
    { field: 'max_total_spend_micros', requested: 9_000_000, effective: 5_000_000, rule: 'user_policy' },
    { field: 'ttl_ms', requested: 7_200_000, effective: 7_200_000, rule: '' },
    { field: 'cpu_millis', requested: 1_000, effective: 1_000, rule: '' },
  ];
  const text = recordText({ id: 'job_1', clamps }, PLAIN);
  assert.match(text, /^LIMIT +ASKED +APPLIES +CLAMPED BY$/m);
  assert.match(text, /^max total spend +\$9\.00 +\$5\.00 +user_policy$/m);
  assert.match(text, /^ttl +2h +2h +-$/m);
  assert.match(text, /^cpu millis +1000 +1000 +-$/m);
  assert.doesNotMatch(recordText({ id: 'job_1', clamps: [] }, PLAIN), /LIMIT/);
});

const SANDBOX = `sbx_${'1'.padStart(32, '0')}`;
const JOB = `job_${'1'.padStart(32, '0')}`;

/** A command line, and what is told of its number. */
const NUMBERS: [argv: string[], wanted: RegExp][] = [
  [['sandbox', 'create', '--job', JOB, '--ram', '99999999'], /99999999 is out of range.*from 64 to 524288/],
  [['sandbox', 'create', '--job', JOB, '--ram', '1.5'], /1\.5 is not a whole number.*from 64 to 524288/],
  [['sandbox', 'create', '--job', JOB, '--cpu', '49'], /49 is out of range.*from 50 to 64000/],
  [['sandbox', 'create', '--job', JOB, '--disk', '15'], /15 is out of range.*from 16 to 1048576/],
  [['sandbox', 'create', '--job', JOB, '--disk', '1e3'], /1e3 is not a whole number/],
  [['sandbox', 'create', '--job', JOB, '--quantum', '61s'], /61s is out of range.*from 1s to 1m/],
  [['sandbox', 'create', '--job', JOB, '--quantum', '999ms'], /999ms is out of range.*from 1s to 1m/],
  [['sandbox', 'list', '--max', '0'], /0 is out of range.*from 1 to 10000/],
  [['job', 'create', '--budget', '$1', '--sandboxes', '10001'], /10001 is out of range.*from 1 to 10000/],
  [['job', 'create', '--budget', '$1', '--ttl', '366d'], /366d is longer than 365d/],
  [['port', 'expose', SANDBOX, '65536'], /65536 is out of range.*from 1 to 65535/],
  [['port', 'forward', SANDBOX, '1', '--listen', '-1'], /-1 is not a whole number.*from 0 to 65535/],
  [['live', 'jobs', '--max', '0'], /0 is out of range/],
  [['receipts', 'list', '--max', 'x'], /x is not a whole number.*from 1 to 10000/],
];

test('a number out of its range is told with the range, and not called something else', async () => {
  await using terminal = await openTerminal('http://127.0.0.1:9');
  for (const [argv, wanted] of NUMBERS) {
    const { code, err } = await terminal.run(...argv);
    assert.equal(code, 2, argv.join(' '));
    assert.match(err, wanted);
  }
});

const typed = (text: string) => Object.assign(Readable.from([Buffer.from(text)]), { isTTY: true });

test('the passphrase of a new wallet is asked for twice, and why is told', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal(fake.url);
  delete terminal.env['TALLY_PASSPHRASE'];
  const left = await terminal.runWith({ stdin: typed('') }, 'wallet', 'new');
  assert.equal(left.code, 2);
  assert.match(left.err, /Nobody can recover it/);
  assert.match(left.err, /New passphrase: /);
  assert.ok(!existsSync(join(terminal.home, 'wallet.json')));
});
