/**
 * `npm run bench -- meter`: what one minute for every running sandbox costs, as their number grows; shorter: `--sandboxes 10000`.
 * Promise: every minute goes through timer, rule, ledger, receipt, outbox and signed ticket; a wrong count fails the run.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ownCpuSeconds, serverCpuSeconds } from './load/cpu.ts';
import { checkSales, type Fleet, growTo, reachSale, sellToAll, startFleet, untilDelivered } from './load/fleet.ts';
import { median, numberOption } from './load/measure.ts';
import type { BenchOptions, BenchResult } from './run.ts';

const SANDBOXES_DEFAULT = 100_000;
const SANDBOXES_MIN = 1_000;
const SIZE_STEP = 10;
/** Sales per size; the first of each settles nothing yet and is not counted. */
const SALES_COUNTED = new Map([
  [1_000, 8],
  [10_000, 2],
  [100_000, 3],
]);
/** Runs of the first size that only warm up. */
const WARM_SALES = 4;
const METERS = 2;
const METER_PROGRAM = fileURLToPath(new URL('load/counting-meter.ts', import.meta.url));

interface Tick {
  wallSeconds: number;
  meterCpuSeconds: number;
  serverCpuSeconds: number;
}

interface Size {
  sandboxes: number;
  openSeconds: number;
  ticks: Tick[];
}

async function timed(fleet: Fleet, work: () => Promise<void>): Promise<Tick> {
  const postmaster = fleet.database.postmasterPid()!;
  const [startMs, own, server] = [performance.now(), ownCpuSeconds(), serverCpuSeconds(postmaster)];
  await work();
  return {
    wallSeconds: (performance.now() - startMs) / 1000,
    meterCpuSeconds: ownCpuSeconds() - own,
    serverCpuSeconds: serverCpuSeconds(postmaster) - server,
  };
}

const cpuPerSandbox = ({ sandboxes, ticks }: Size): number =>
  median(ticks.map((tick) => tick.meterCpuSeconds + tick.serverCpuSeconds)) / sandboxes;

/** For each sandbox the quantum in which it started. */
type StartedAt = number[];

async function measureSize(fleet: Fleet, sandboxes: number, startedAt: StartedAt): Promise<Size> {
  startedAt.push(...Array.from({ length: sandboxes - fleet.size }, () => fleet.quanta));
  const open = await timed(fleet, () => growTo(fleet, sandboxes));
  const uncounted = sandboxes === SANDBOXES_MIN ? WARM_SALES : 1;
  for (let sale = 0; sale < uncounted; sale++) await sellToAll(fleet);
  const ticks: Tick[] = [];
  const counted = SALES_COUNTED.get(sandboxes) ?? 1;
  for (let sale = 0; sale < counted; sale++) ticks.push(await timed(fleet, () => sellToAll(fleet)));
  await checkSales(fleet, startedAt);
  return { sandboxes, openSeconds: open.wallSeconds, ticks };
}

async function startMeter({ folder, nowUs }: Fleet): Promise<ChildProcess> {
  const child = fork(METER_PROGRAM, [folder, String(nowUs)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}

interface Shared {
  wallSeconds: number;
  /** Deliveries by each meter. */
  renewed: number[];
}

/** The next minute is sold by several programs at once, while this process only looks on. */
async function sellTogether(fleet: Fleet, startedAt: StartedAt): Promise<Shared> {
  await fleet.meter[Symbol.asyncDispose]();
  reachSale(fleet);
  const meters = await Promise.all(Array.from({ length: METERS }, () => startMeter(fleet)));
  const startMs = performance.now();
  for (const meter of meters) meter.send('start');
  await untilDelivered(fleet);
  const wallSeconds = (performance.now() - startMs) / 1000;
  const counts = await Promise.all(
    meters.map(async (meter) => {
      meter.send('stop');
      const [told] = (await once(meter, 'message')) as [{ renewed: number; faults: string[] }];
      await once(meter, 'exit');
      return told;
    }),
  );
  const faults = counts.flatMap((told) => told.faults);
  if (faults.length > 0) throw new Error(`a meter reported ${faults[0]}`);
  await checkSales(fleet, startedAt);
  return { wallSeconds, renewed: counts.map(({ renewed }) => renewed) };
}

function sizesUpTo(max: number): number[] {
  const sizes: number[] = [];
  for (let size = SANDBOXES_MIN; size <= max; size *= SIZE_STEP) sizes.push(size);
  return sizes;
}

/** Option `sandboxes`: the largest size, 1000, 10000 (half a minute on two idle cores) or 100000 (the default, four minutes). */
export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const sizes = sizesUpTo(numberOption(options, 'sandboxes', SANDBOXES_DEFAULT));
  const measured: Size[] = [];
  const startedAt: StartedAt = [];
  const fleet = await startFleet();
  try {
    for (const sandboxes of sizes) measured.push(await measureSize(fleet, sandboxes, startedAt));
    const shared = await sellTogether(fleet, startedAt);
    return resultOf(measured, shared);
  } finally {
    await fleet[Symbol.asyncDispose]();
  }
}

const shortName = (sandboxes: number): string => `${sandboxes / 1000}k`;
const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

function resultOf(sizes: Size[], shared: Shared): BenchResult {
  const [least, most] = [sizes[0]!, sizes.at(-1)!];
  const tickSeconds = (size: Size): number => median(size.ticks.map((tick) => tick.wallSeconds));
  const name = shortName(most.sandboxes);
  return {
    name: 'meter',
    figures: {
      [`per_sandbox_${name}_over_1k`]: cpuPerSandbox(most) / cpuPerSandbox(least),
      [`tick_s_${name}`]: tickSeconds(most),
      [`tick_cpu_s_${name}`]: cpuPerSandbox(most) * most.sandboxes,
      [`tick_s_${name}_shared`]: shared.wallSeconds,
      meters_shared: METERS,
    },
    table: [...sizes.map(rowOf), sharedRow(most.sandboxes, shared)],
  };
}

const rowOf = (size: Size) => ({
  sandboxes: size.sandboxes,
  meters: '1',
  'opened in s': rounded(size.openSeconds, 1),
  'tick s': rounded(median(size.ticks.map((tick) => tick.wallSeconds)), 2),
  'CPU us per sandbox': rounded(cpuPerSandbox(size) * 1e6, 0),
  'of it meter': rounded((median(size.ticks.map((tick) => tick.meterCpuSeconds)) / size.sandboxes) * 1e6, 0),
  'of it database': rounded((median(size.ticks.map((tick) => tick.serverCpuSeconds)) / size.sandboxes) * 1e6, 0),
});

const sharedRow = (sandboxes: number, { wallSeconds, renewed }: Shared) => ({
  sandboxes,
  meters: `${METERS}, each delivered ${renewed.join(' and ')}`,
  'tick s': rounded(wallSeconds, 2),
});
