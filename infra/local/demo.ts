/**
 * `npm run demo`: one agent's life from a new wallet to a verified export, on a real platform, a real machine, real input.
 * Promise: nothing needs a keypress; nothing printed is prepared beforehand; the exit code is 0 only when every claim held.
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { argumentsOf, exitCodeOf, isolationOf } from './arguments.ts';
import { liveOneLife } from './demo/life.ts';
import { narrator } from './demo/narrator.ts';
import { budgetOption, quantumOption } from './demo/options.ts';
import { lifeRecord, printSummary } from './demo/summary.ts';
import { startPlatform } from './platform.ts';

const BUDGET_DEFAULT = '400micros';
const HELP = `npm run demo -- [options]

One agent's life: wallet, login, money, job, machine, real work, the end of its money, receipts, offline verification.

  --budget AMOUNT  what the job may spend, e.g. 400micros or '$0.001'      (default: ${BUDGET_DEFAULT}, and more while the work lasts)
  --quantum TIME   length of a sold minute, 1s to 60s                       (default: 3s)
  --input DIR      folder to audit                                          (default: node_modules of this clone)
  --json FILE      write the result as data
  --data DIR       where the platform keeps everything                      (default: .tally in this clone, or TALLY_DATA)
  --isolation L    gvisor, ns or auto, which is ns                          (default: auto, or TALLY_ISOLATION)
  --allow-lite     accept weaker isolation where this machine offers no better one (development only)`;

const ROOT = join(import.meta.dirname, '..', '..');

const readArguments = () =>
  argumentsOf('npm run demo', {
    budget: { type: 'string' },
    quantum: { type: 'string', default: '3s' },
    input: { type: 'string', default: join(ROOT, 'node_modules') },
    json: { type: 'string' },
    data: { type: 'string', default: process.env['TALLY_DATA'] ?? join(ROOT, '.tally') },
    isolation: { type: 'string' },
    'allow-lite': { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  });

async function main(): Promise<number> {
  const values = readArguments();
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const say = narrator();
  const budgetMicros = budgetOption(values.budget ?? BUDGET_DEFAULT);
  const quantumMs = quantumOption(values.quantum);
  const folder = resolve(values.data);
  say.chapter('Starting the platform');
  await using platform = await startPlatform({
    folder,
    port: 0,
    development: true,
    allowLite: values['allow-lite'],
    ...isolationOf(values.isolation),
    onProgress: say.line,
  });
  const life = await liveOneLife({
    url: platform.url,
    budgetMicros,
    mayExtend: values.budget === undefined,
    quantumMs,
    input: resolve(values.input),
    outputFolder: join(folder, 'demo'),
    say,
  });
  printSummary(life, say);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(lifeRecord(life), null, 2)}\n`);
  return life.failures.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((fault: Error) => {
  console.error(`\nThe demo could not be finished: ${fault.message}`);
  return exitCodeOf(fault);
});
