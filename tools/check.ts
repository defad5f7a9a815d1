/**
 * `npm run check`: everything that can be told about the code without running the platform.
 * Promise: every step runs, each is printed with its time, and one that fails makes the exit code 1.
 */
import { spawnSync } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { styleText } from 'node:util';

const ROOT = dirname(import.meta.dirname);
const CONTRACTS = join(ROOT, 'tools', 'contracts');
const STEP_MS_MAX = 120_000;
const OUTPUT_LINES_MAX = 100;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

interface Step {
  name: string;
  command: string[];
}

const STEPS: readonly Step[] = [
  { name: 'format and lint', command: ['biome', 'ci', '--colors=off'] },
  { name: 'types', command: ['tsc', '-p', '.'] },
  { name: 'contracts (lint, breaking, derived)', command: ['node', 'tools/contracts/generate.ts', '--check'] },
  { name: 'tidy', command: ['node', 'tools/test.ts', 'tools/tidy', 'tools/tidy.test.ts'] },
  { name: 'unit tests', command: ['node', 'tools/test.ts', 'unit', 'clients'] },
];

/** The pinned tools before whatever the machine has. */
function searchPath(): string {
  const own = [join(ROOT, 'node_modules', '.bin'), join(CONTRACTS, 'node_modules', '.bin')];
  return [...own, process.env['PATH'] ?? ''].join(delimiter);
}

/** A failing step shows its last lines: the whole is one command away. */
function endOf(output: string): string {
  const lines = output.trimEnd().split('\n');
  if (lines.length <= OUTPUT_LINES_MAX) return lines.join('\n');
  return [`(${lines.length - OUTPUT_LINES_MAX} lines left out)`, ...lines.slice(-OUTPUT_LINES_MAX)].join('\n');
}

function runStep(step: Step): boolean {
  const startMs = performance.now();
  const [program = '', ...args] = step.command;
  const env = { ...process.env, PATH: searchPath() };
  const limits = { timeout: STEP_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX };
  const ran = spawnSync(program, args, { cwd: ROOT, encoding: 'utf8', env, ...limits });
  const took = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  const isFine = ran.status === 0;
  process.stdout.write(
    `${isFine ? styleText('green', 'ok     ') : styleText('red', 'FAILED ')}  ${step.name}  ${took}\n`,
  );
  if (isFine) return true;
  const output = endOf(`${ran.error?.message ?? ''}${ran.stdout}${ran.stderr}`);
  process.stdout.write(`${output.replace(/^/gm, '         ')}\n`);
  return false;
}

const startMs = performance.now();
const failed = STEPS.filter((step) => !runStep(step));
const took = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
process.stdout.write(`\n${STEPS.length - failed.length} of ${STEPS.length} steps passed in ${took}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
