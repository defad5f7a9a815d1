/**
 * `npm run bench -- NAME [--json FILE]`: runs one benchmark, prints its table and figures, writes them as data.
 * Promise: a figure is a finite number measured in this run; anything else is refused.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** What `bench/NAME.ts` gives back from `run(options)`. */
export interface BenchResult {
  name: string;
  figures: Record<string, number>;
  /** One object per row, as for console.table. */
  table: readonly Record<string, string | number>[];
}

/** What stands on the command line besides the name: `--records 1000` becomes `{ records: '1000' }`. */
export type BenchOptions = Readonly<Record<string, string>>;

type Bench = (options: BenchOptions) => Promise<BenchResult>;

const NAME = /^[a-z][a-z0-9-]*$/;
const NOT_BENCHES = ['run.ts'];

/** Names of the benchmarks, sorted: every `.ts` file here that is no test. */
export function listBenches(): string[] {
  const files = readdirSync(new URL('.', import.meta.url));
  const benches = files.filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !NOT_BENCHES.includes(file),
  );
  return benches.map((file) => file.slice(0, -'.ts'.length)).sort();
}

/** @errors throws RangeError naming what is there when there is no such benchmark */
async function loadBench(name: string): Promise<Bench> {
  const names = listBenches();
  if (!NAME.test(name) || !names.includes(name))
    throw new RangeError(`no benchmark ${name}; there are: ${names.join(', ')}`);
  const { run } = (await import(`./${name}.ts`)) as { run?: Bench };
  if (!run) throw new RangeError(`bench/${name}.ts exports no run(options): it is a part of another benchmark`);
  return run;
}

/** @errors throws TypeError naming the figure that is not a finite number */
export function checkFigures(result: BenchResult): BenchResult {
  const bad = Object.entries(result.figures).find(
    ([, figure]) => typeof figure !== 'number' || !Number.isFinite(figure),
  );
  if (bad) throw new TypeError(`the figure ${bad[0]} of ${result.name} is ${bad[1]}, not a finite number`);
  return result;
}

/** The name, where the figures go, and every other option as text. */
export function readArguments(argv: string[]): {
  name: string | undefined;
  json: string | undefined;
  options: BenchOptions;
} {
  const { positionals, tokens } = parseArgs({ args: argv, strict: false, tokens: true, allowPositionals: true });
  const options: Record<string, string> = {};
  const taken = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const next = argv[token.index + 1];
    const isSeparate = token.value === undefined && next !== undefined && !next.startsWith('--');
    options[token.name] = token.value ?? (isSeparate ? next : 'true');
    if (isSeparate) taken.add(next);
  }
  const { json, ...others } = options;
  return { name: positionals.find((word) => !taken.has(word)), json, options: others };
}

function printResult(result: BenchResult): void {
  console.log(`\n${result.name}`);
  if (result.table.length > 0) console.table(result.table);
  for (const [key, figure] of Object.entries(result.figures))
    console.log(`${key.padEnd(28)} ${Number(figure.toPrecision(4))}`);
}

async function main(argv: string[]): Promise<void> {
  const { name, json, options } = readArguments(argv);
  if (name === undefined) return console.log(`npm run bench -- NAME [--json FILE]\n${listBenches().join('\n')}`);
  const run = await loadBench(name);
  const result = checkFigures(await run(options));
  printResult(result);
  if (json) writeFileSync(json, `${JSON.stringify({ name: result.name, figures: result.figures }, null, 2)}\n`);
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
