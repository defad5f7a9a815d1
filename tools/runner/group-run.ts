/**
 * Runs one group of test files in one process and gathers what came of it.
 * Promise: a crash, a hang, an empty run and a skip without a reason all count as failures.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Group } from './groups.ts';
import type { Report } from './reporter.ts';

const GROUP_MS_MAX = 15 * 60_000;
/** What a group wrote before it ended is read within this time, even if a stray program holds the pipe open. */
const DRAIN_MS_MAX = 500;
const OUTPUT_CHARS_MAX = 6_000;

export interface Failure {
  group: string;
  title: string;
  file: string;
  detail: string;
  /** The end of what the process printed while the test ran. */
  output: string;
}

export interface Skip {
  title: string;
  reason: string;
}

export interface GroupResult {
  group: string;
  passed: number;
  failures: Failure[];
  skips: Skip[];
  durationMs: number;
}

export type Progress = (group: string, report: Extract<Report, { kind: 'test' }>) => void;

const tailOf = (text: string): string => text.slice(-OUTPUT_CHARS_MAX).trim();

/** What the process printed since the last test ended. */
class OutputSinceTest {
  #text = '';

  constructor(streams: (Readable | null)[]) {
    for (const stream of streams) stream?.setEncoding('utf8').on('data', (chunk: string) => this.#keep(chunk));
  }

  #keep(chunk: string): void {
    this.#text = (this.#text + chunk).slice(-2 * OUTPUT_CHARS_MAX);
  }

  take(): string {
    const taken = tailOf(this.#text);
    this.#text = '';
    return taken;
  }
}

/** Programs that tests start, again and again, are compiled once. */
const COMPILED = join('node_modules', '.cache', 'tests');

function spawnGroup(group: Group, root: string): ChildProcess {
  const reporter = new URL('./reporter.ts', import.meta.url).href;
  const options = [
    '--test',
    '--test-isolation=none',
    '--test-concurrency=1',
    '--test-force-exit',
    `--test-reporter=${reporter}`,
  ];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawn(process.execPath, [...options, '--test-reporter-destination=stdout', ...group.files], {
    cwd: root,
    env: { NODE_COMPILE_CACHE: join(root, COMPILED), ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
}

/** Keeps count of one group; the process feeds it, `close` says how the process ended. */
export class Tally {
  readonly result: GroupResult;
  isEnded = false;

  constructor(group: string) {
    this.result = { group, passed: 0, failures: [], skips: [], durationMs: 0 };
  }

  fail(title: string, detail: string, output: string, file = ''): void {
    this.result.failures.push({ group: this.result.group, title, file, detail, output });
  }

  add(report: Report, output: string): void {
    if (report.kind === 'end') this.#end(report.left, output);
    else if (report.outcome === 'failed') this.fail(report.title, report.detail, output, report.file);
    else if (report.isSuite) return;
    else if (report.outcome === 'passed') this.result.passed += 1;
    else if (report.detail === '') this.fail(report.title, 'skipped without a reason', output, report.file);
    else this.result.skips.push({ title: report.title, reason: report.detail });
  }

  #end(left: string[], output: string): void {
    this.isEnded = true;
    if (left.length > 0) this.fail('tests left something open', left.join(', '), output);
  }

  close(ending: string, isClean: boolean, output: string): void {
    const { failures, passed, skips } = this.result;
    if (!this.isEnded) this.fail('the group crashed', `its process ended early: ${ending}`, output);
    else if (!isClean && failures.length === 0) this.fail('the group ended badly', ending, output);
    else if (passed + failures.length + skips.length === 0) this.fail('the group ran no test', 'no test found', output);
  }
}

interface Ending {
  text: string;
  isClean: boolean;
}

function endingOf(child: ChildProcess): Promise<Ending> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ text: error.message, isClean: false }));
    child.once('exit', (code, signal) => {
      resolve({ text: signal ? `signal ${signal}` : `exit code ${code}`, isClean: code === 0 });
    });
  });
}

/** Runs the group; resolves when its process has ended, by itself or killed after `msMax`. */
export async function runGroup(
  group: Group,
  root: string,
  progress: Progress,
  msMax = group.msMax ?? GROUP_MS_MAX,
): Promise<GroupResult> {
  const startMs = Date.now();
  const tally = new Tally(group.name);
  const child = spawnGroup(group, root);
  const output = new OutputSinceTest([child.stdout, child.stderr]);
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = child.kill('SIGKILL');
  }, msMax);
  const lines = createInterface({ input: child.stdio[3] as Readable });
  lines.on('line', (line) => {
    const report = JSON.parse(line) as Report;
    tally.add(report, report.kind === 'test' && report.outcome === 'passed' ? '' : output.take());
    if (report.kind === 'test') progress(group.name, report);
  });
  const drained = new Promise<void>((resolve) => lines.once('close', resolve));
  const ending = await endingOf(child);
  clearTimeout(deadline);
  await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, DRAIN_MS_MAX).unref())]);
  tally.close(isLate ? `killed after ${msMax / 1000} s` : ending.text, ending.isClean, output.take());
  for (const stream of [child.stdout, child.stderr, child.stdio[3] as Readable]) stream?.destroy();
  tally.result.durationMs = Date.now() - startMs;
  return tally.result;
}
