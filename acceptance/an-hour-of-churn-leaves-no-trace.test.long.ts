/**
 * An hour in which machines come and go on one platform (TALLY_SOAK_MINUTES): commands, files, ports, terminals, refunds.
 * Promise: memory, descriptors, threads, processes, mounts, cgroups and files of every program do not grow with what was done.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sandbox } from '@tallystick/sdk';
import { bookProblems } from './harness/books.ts';
import { type Footprint, footprintOf, slopePerMinute } from './harness/footprint.ts';
import { SMALL, untilEnded } from './harness/lease.ts';
import { type Newcomer, newcomer } from './harness/newcomer.ts';
import { startPlatform } from './harness/platform.ts';

const MINUTES = Number(process.env['TALLY_SOAK_MINUTES'] ?? 60);
const CALLERS = 3;
const SAMPLE_EVERY_MS = 5_000;
/** Heaps, caches and pools fill in the first part of the time. */
const WARM_UP_SHARE = 0.3;
/** Long enough that a machine is not frozen because its host is busy with something else. */
const QUANTUM_MS = 10_000;
const DEPOSIT_MICROS = 3_000n;
/** One step of SMALL and not two. */
const POOR_MICROS = 80n;
const FILE_BYTES = 300_000;
const PORT = 8080;
const SERVE = `require('node:net').createServer((s)=>s.end('hello')).listen(${PORT},'127.0.0.1')`;
const MS_PER_MINUTE = 60_000;
/**
 * On a large host a runtime lets garbage stand for an hour: with a small heap what grows is what is held. What a program remembers of the
 * log may take a third of its heap, which is below what may grow.
 */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=128' };

/** Output of the last machines that have ended stays readable; the oldest goes when there are too many. */
const KEPT_FILES_MAX = 600;

/** How much more than at the end of the warm-up it may be at the end, by the trend. */
const GROWTH_MAX: [what: RegExp, amount: number][] = [
  [/database memory/, 8 * 1_024],
  [/memory KiB$/, 48 * 1_024],
  [/descriptors$/, 10],
  [/threads$/, 4],
  [/processes$/, 6],
  [/mounts$/, 3],
  [/^cgroups$/, 4],
  [/^files$/, 20],
  [/^kept output files$/, KEPT_FILES_MAX],
];

async function use(sandbox: Sandbox): Promise<void> {
  const content = randomBytes(FILE_BYTES);
  await sandbox.upload('in.bin', content);
  assert.equal((await sandbox.exec(['sh', '-c', 'wc -c <in.bin'])).stdout.trim(), String(FILE_BYTES));
  let bytes = 0;
  for await (const chunk of sandbox.download('in.bin')) bytes += chunk.length;
  assert.equal(bytes, FILE_BYTES);
  const shell = await sandbox.terminal(['sh'], { tty: { columns: 80, rows: 24 } });
  await shell.write('echo from a terminal\nexit\n');
  let screen = '';
  for await (const chunk of shell) screen += Buffer.from(chunk.bytes).toString();
  assert.match(screen, /from a terminal/);
}

/** A program that answers behind a port, reached from outside. */
async function reach(sandbox: Sandbox): Promise<void> {
  const server = await sandbox.execStream(['node', '-e', SERVE]);
  const port = await sandbox.exposePort(PORT);
  let said = '';
  for (let tries = 0; tries < 50 && said === ''; tries++) {
    const stream = await sandbox.connectPort(port).catch(() => undefined);
    if (stream) for await (const chunk of stream) said += chunk;
    else await sleep(100);
  }
  await sandbox.closePort(PORT);
  await sandbox.signal(server.execId, 'SIGKILL');
  assert.equal(said, 'hello');
}

/** One machine's life. Every third ends by its job's money, every third with its job, the others by themselves. */
async function one({ tally }: Newcomer, number: number): Promise<void> {
  await tally.depositDevelopment(DEPOSIT_MICROS);
  const isPoor = number % 3 === 0;
  const job = await tally.jobs.create({ maxTotalSpendMicros: isPoor ? POOR_MICROS : DEPOSIT_MICROS });
  const sandbox = await job.sandboxes.create(SMALL);
  if (isPoor) await sandbox.exec(['true']);
  else await use(sandbox);
  if (number % 3 === 1) {
    if (number % 2 === 0) await reach(sandbox);
    await job.stop();
  } else if (!isPoor) await sandbox.destroy();
  await untilEnded(sandbox);
}

type Sample = readonly [minutes: number, footprint: Footprint];

function growths(samples: readonly Sample[]): { name: string; slope: number; grown: number; last: number }[] {
  const [from, to] = [samples[0]![0], samples.at(-1)![0]];
  return Object.keys(samples[0]![1]).map((name) => {
    const points = samples.map(([minutes, footprint]) => [minutes, footprint[name]!] as const);
    const slope = slopePerMinute(points);
    return { name, slope, grown: slope * (to - from), last: points.at(-1)![1] };
  });
}

test(`${MINUTES} minutes of churn leave no trace`, async (context) => {
  await using platform = await startPlatform({ quantumMs: QUANTUM_MS, graceMs: 500, env: SMALL_HEAP });
  const callers = await Promise.all(Array.from({ length: CALLERS }, () => newcomer(platform.url)));
  const startedAtMs = performance.now();
  const minutes = (): number => (performance.now() - startedAtMs) / MS_PER_MINUTE;
  let lives = 0;
  let isOver = false;
  const live = async (caller: Newcomer): Promise<void> => {
    while (!isOver) await one(caller, lives++);
  };
  const samples: Sample[] = [];
  const look = async (): Promise<void> => {
    while (minutes() < MINUTES && !isOver) {
      if (minutes() > MINUTES * WARM_UP_SHARE) samples.push([minutes(), footprintOf(platform)]);
      await sleep(SAMPLE_EVERY_MS);
    }
    isOver = true;
  };
  const living = callers.map(live);
  try {
    await Promise.race([look(), Promise.all(living)]);
  } catch (fault) {
    context.diagnostic(platform.complaints().join('\n'));
    throw fault;
  } finally {
    isOver = true;
    await Promise.allSettled(living);
  }
  context.diagnostic(`${lives} machines, ${samples.length} looks`);
  const found = growths(samples);
  for (const { name, slope, last } of found) context.diagnostic(`${name}: ${last}, ${slope.toFixed(2)} per minute`);
  for (const { name, grown } of found) {
    const [, most] = GROWTH_MAX.find(([what]) => what.test(name))!;
    assert.ok(grown <= most, `${name} grew by ${Math.round(grown)}, at most ${most} is no trend`);
  }
  assert.deepEqual(await bookProblems(platform.folder), []);
});
