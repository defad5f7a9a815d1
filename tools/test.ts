/**
 * `npm test -- [GROUP|PATH...]`: runs the whole suite, or the part that is named.
 * Promise: the last line is `N passed, N failed`; the exit code is 0 only when something ran and nothing failed.
 */
import { dirname, relative } from 'node:path';
import { styleText } from 'node:util';
import { type Failure, type GroupResult, type Progress, runGroup } from './runner/group-run.ts';
import { chooseGroups, type Group } from './runner/groups.ts';

const ROOT = dirname(import.meta.dirname);
const SIDE_BY_SIDE_MAX = 2;
/** A test slower than this is named while the suite runs. */
const SLOW_MS = 5_000;

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const short = (file: string): string => (file ? relative(ROOT, file) : '');

const showProgress: Progress = (group, report) => {
  if (report.outcome === 'failed') print(`${styleText('red', 'failed')}  ${group}: ${report.title}`);
  else if (report.outcome === 'skipped')
    print(`skipped ${group}: ${report.title} - ${report.detail || 'no reason given'}`);
  else if (!report.isSuite && report.durationMs > SLOW_MS)
    print(`slow    ${group}: ${report.title} (${seconds(report.durationMs)})`);
};

async function runOne(group: Group): Promise<GroupResult> {
  print(`start   ${group.name}: ${group.files.length} files`);
  const result = await runGroup(group, ROOT, showProgress);
  const { passed, failures, skips, durationMs } = result;
  print(`done    ${group.name}: ${closing(passed, failures.length, skips.length)} in ${seconds(durationMs)}`);
  return result;
}

/** CPU-bound groups run side by side, the longest first; the others follow, one at a time. */
async function runAll(groups: readonly Group[]): Promise<GroupResult[]> {
  const results: GroupResult[] = [];
  const beside = groups.filter((group) => !group.isAlone).reverse();
  const lane = async (): Promise<void> => {
    for (let group = beside.shift(); group; group = beside.shift()) results.push(await runOne(group));
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE_MAX }, lane));
  for (const group of groups.filter((candidate) => candidate.isAlone)) results.push(await runOne(group));
  return results;
}

function printFailure(failure: Failure, index: number): void {
  print(`\n${styleText('red', `${index + 1}. ${failure.group}: ${failure.title}`)}  ${short(failure.file)}`);
  print(failure.detail.replace(/^/gm, '   '));
  if (failure.output) print(`   printed meanwhile:\n${failure.output.replace(/^/gm, '   | ')}`);
}

function closing(passed: number, failed: number, skipped: number): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

async function main(): Promise<number> {
  const groups = chooseGroups(process.argv.slice(2), ROOT);
  const results = await runAll(groups);
  const failures = results.flatMap((result) => result.failures);
  const skips = results.flatMap((result) => result.skips);
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  failures.forEach(printFailure);
  if (skips.length > 0) print('\nskipped:');
  for (const skip of skips) print(`   ${skip.title} - ${skip.reason}`);
  if (passed + failures.length === 0) print('no test ran');
  print(`\n${closing(passed, failures.length, skips.length)}`);
  return failures.length > 0 || passed === 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof RangeError)) throw error;
  print(`${error.message}\n\n0 passed, 1 failed`);
  process.exitCode = 1;
}
