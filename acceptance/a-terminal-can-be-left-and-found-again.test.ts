/**
 * What a person or an agent at a sandbox's terminal gets: its size, its keys, and the same shell after going away.
 * Promise: through the public door, on a real machine; the paid end is told as what it is.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ExecStream, Sandbox } from '@tallystick/sdk';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';

const QUANTUM_MS = 1_000;
const SIZE = { columns: 91, rows: 33 };

/** Reads on until the screen shows `text`; returns where to go on. */
async function untilShown(run: ExecStream, text: string): Promise<{ screen: string; cursor: bigint }> {
  let screen = '';
  for await (const { bytes, cursor } of run) {
    screen += Buffer.from(bytes).toString();
    if (screen.includes(text)) return { screen, cursor };
  }
  throw new Error(`the screen never showed ${text}: ${screen}`);
}

describe('a terminal can be left and found again', () => {
  let platform: Platform;
  let machine: (budgetMicros: bigint) => Promise<Sandbox>;

  before(async () => {
    platform = await startPlatform({ quantumMs: QUANTUM_MS });
    const { tally } = await newcomer(platform.url, { depositMicros: 1_000_000n });
    machine = async (budgetMicros) => {
      const job = await tally.jobs.create({ maxTotalSpendMicros: budgetMicros });
      return job.sandboxes.create({ cpuMillis: 500, ramMib: 192, diskMib: 32 });
    };
  });
  after(() => platform?.[Symbol.asyncDispose]());

  test('[I-27] a shell hears keys and sizes, and goes on at its byte for who comes back', async () => {
    await using sandbox = await machine(100_000n);
    const shell = await sandbox.terminal(['sh', '-i'], { tty: SIZE, env: { PS1: 'ready> ' } });
    await shell.write('stty size; echo one-$((0+1))\r');
    const first = await untilShown(shell, 'one-1');
    assert.match(first.screen, /33 91/);
    await shell.resize({ columns: 120, rows: 40 });
    await shell.write('sleep 100\r');
    const asleep = await untilShown(sandbox.attach(shell.execId, first.cursor), 'sleep 100\r\n');
    await shell.write('\x03');
    const awake = await untilShown(sandbox.attach(shell.execId, asleep.cursor), 'ready> ');
    await shell.write('stty size; echo two-$((1+1))\r');
    const [listed] = await sandbox.execs();
    assert.deepEqual([listed?.execId, listed?.program, listed?.running], [shell.execId, 'sh', true]);
    const back = await untilShown(sandbox.attach(shell.execId, awake.cursor), 'two-2');
    assert.match(back.screen, /40 120/);
    assert.ok(!back.screen.includes('one-1'));
    await sandbox.input(shell.execId).write('exit 7\r');
    const rest = sandbox.attach(shell.execId, back.cursor);
    for await (const { bytes } of rest) assert.ok(bytes.length > 0);
    assert.deepEqual(await rest.outcome, { end: 'exited', exitCode: 7 });
  });

  test('[I-05] at the end of the paid time the terminal says so', async () => {
    const sandbox = await machine(30n);
    const shell = await sandbox.terminal(['sh', '-c', 'while :; do date; sleep 0.1; done'], { tty: SIZE });
    for await (const { bytes } of shell) assert.ok(bytes.length > 0);
    assert.deepEqual(await shell.outcome, { end: 'lease_ended' });
  });
});
