/**
 * A sandbox as the host's kernel sees it, and a clock that ticks inside.
 * Promise: what is measured comes from cgroup files and from the machine's own output, never from the platform's word.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecOutcome, Sandbox } from '@tallystick/sdk';
import { until } from './until.ts';

const LOOK_EVERY_MS = 10;
/** A look that comes later than this says nothing about the time before it. */
const GAP_MS_MAX = 200;
/** The outermost launcher outlives the tenant for a moment, to collect it; it alone is nobody's running time. */
const LAUNCHER_PROCESSES = 1;
/** A frozen tree that is killed dies unfrozen: fewer looks than these are its death, not its life. */
const DYING_LOOKS = 4;
/** Output of a machine that has ended comes within this time, or never. */
const LASTING_LOOKS = 6;
const LASTING_EVERY_MS = 47;
const LATE_OUTPUT_MS_MAX = 2_000;
const TICKER = 'while :; do date +%s%3N; sleep 0.03; done';

/** Its cgroup, as the warden told its reaper: the host's names say nothing of whose machine it is. */
function treeOf(sandboxId: string): string | undefined {
  const platforms = readdirSync(tmpdir()).filter((name) => name.startsWith('tally-'));
  const files = platforms.map((name) => join(tmpdir(), name, 'warden', 'deadlines', `${sandboxId}.deadline.json`));
  const text = files.map(textOf).find((content) => content !== '');
  return text === undefined ? undefined : (JSON.parse(text) as { tree: string }).tree;
}

/** A later machine may get a directory of the same name, but never the same one. */
const inodeOf = (directory: string): bigint | undefined =>
  statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino;

const textOf = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

const isLasting = (pid: string): boolean => !['sleep', 'date', ''].includes(textOf(`/proc/${pid}/comm`).trim());

export interface MachineWatch extends Disposable {
  /** Directory of its cgroup. */
  readonly tree: string;
  /** Pids in it now but for the clock's own momentary ones, as one sorted text. */
  pids(): string;
  isFrozen(): boolean;
  isGone(): boolean;
  /** Processor time used so far. */
  cpuUs(): number;
  /** Wall-clock moment at which it was last seen running. */
  readonly lastRunningAtMs: number;
  /** How long it was seen running since `fromMs`. */
  ranMs(fromMs: number): number;
}

/** Time in which it was seen running at every look. */
interface Stretch {
  fromMs: number;
  toMs: number;
  looks: number;
  isOpen: boolean;
}

/** Pids that are there at every one of some looks: a shell that is about to become a clock's `sleep` is not among them. */
export async function lastingPids(machine: MachineWatch): Promise<string[]> {
  let lasting = machine.pids().split(' ');
  for (let looks = 1; looks < LASTING_LOOKS; looks++) {
    await sleep(LASTING_EVERY_MS);
    const now = machine.pids().split(' ');
    lasting = lasting.filter((pid) => now.includes(pid));
  }
  return lasting;
}

/** Looks at a machine's cgroup until disposed. @errors rejects when it has none */
export async function watchMachine(sandboxId: string): Promise<MachineWatch> {
  const tree = await until(`${sandboxId} has a cgroup`, () => treeOf(sandboxId));
  const born = inodeOf(tree);
  const isGone = (): boolean => born === undefined || inodeOf(tree) !== born;
  const procs = (): string[] => textOf(join(tree, 'cgroup.procs')).split('\n').filter(Boolean);
  const stretches: Stretch[] = [];
  const look = (): void => {
    const events = textOf(join(tree, 'cgroup.events'));
    const nowMs = Date.now();
    const isRunning = events.includes('frozen 0') && procs().length > LAUNCHER_PROCESSES && !isGone();
    const last = stretches.at(-1);
    const goesOn = last?.isOpen === true && nowMs - last.toMs < GAP_MS_MAX;
    if (last) last.isOpen = isRunning && goesOn;
    if (isRunning && goesOn) Object.assign(last!, { toMs: nowMs, looks: last!.looks + 1 });
    else if (isRunning) stretches.push({ fromMs: nowMs, toMs: nowMs, looks: 1, isOpen: true });
  };
  const timer = setInterval(look, LOOK_EVERY_MS).unref();
  return {
    tree,
    pids: () => procs().filter(isLasting).sort().join(' '),
    isFrozen: () => textOf(join(tree, 'cgroup.events')).includes('frozen 1'),
    isGone,
    cpuUs: () => Number(/^usage_usec (\d+)/m.exec(textOf(join(tree, 'cpu.stat')))?.[1] ?? 0),
    get lastRunningAtMs() {
      return stretches.findLast(({ looks }) => looks >= DYING_LOOKS)?.toMs ?? 0;
    },
    ranMs: (fromMs) =>
      stretches.reduce((sum, { fromMs: from, toMs: to }) => sum + Math.max(0, to - Math.max(from, fromMs)), 0),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

export interface Ticker extends Disposable {
  /** Wall-clock moments told from inside. */
  readonly ticksMs: readonly number[];
  readonly execId: string;
  /** How the command ended. */
  readonly outcome: Promise<ExecOutcome>;
  /** Waits a moment for what is still on its way, then hears no more. */
  close(): Promise<void>;
}

/** A command that tells the time until its machine stands still. */
export async function startTicker(sandbox: Sandbox): Promise<Ticker> {
  const end = new AbortController();
  const run = await sandbox.execStream(['sh', '-c', TICKER], { signal: end.signal });
  const ticksMs: number[] = [];
  const follow = async (): Promise<void> => {
    let open = '';
    for await (const { bytes } of run) {
      const lines = (open + Buffer.from(bytes).toString('utf8')).split('\n');
      open = lines.pop()!;
      ticksMs.push(...lines.map(Number));
    }
  };
  const over = follow().catch(() => undefined); // it ends with its machine; what was heard until then counts
  await until('the ticker ticks', () => ticksMs.length > 0);
  return {
    ticksMs,
    execId: run.execId,
    outcome: run.outcome,
    async close() {
      const timer = setTimeout(() => end.abort(), LATE_OUTPUT_MS_MAX);
      await over;
      clearTimeout(timer);
    },
    [Symbol.dispose]: () => end.abort(),
  };
}
