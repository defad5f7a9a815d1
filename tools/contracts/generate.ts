/**
 * Makes everything that is derived from the contracts, or with --check tells what is out of date.
 * Promise: what the repository holds is what the proto files say; a breaking change needs --accept-breaking.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { printJson, printModule, printPage, readCatalogue } from './error-catalogue.ts';
import { readImage } from './image.ts';
import { printIndex } from './proto-index.ts';

const HERE = import.meta.dirname;
const ROOT = dirname(dirname(HERE));
const PROTO = join(ROOT, 'proto');
const BASELINE = join(PROTO, 'derived', 'baseline.binpb');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const TOOLS_PATH = [join(HERE, 'node_modules', '.bin'), join(ROOT, 'node_modules', '.bin'), process.env.PATH];

function run(command: string, args: string[], cwd: string, input?: string | Buffer): SpawnSyncReturns<Buffer> {
  const env = { ...process.env, PATH: TOOLS_PATH.join(delimiter) };
  const ran = spawnSync(command, args, {
    cwd,
    env,
    maxBuffer: OUTPUT_BYTES_MAX,
    ...(input === undefined ? {} : { input }),
  });
  if (ran.error)
    throw new Error(`${command} did not start; run: npm ci --prefix tools/contracts`, { cause: ran.error });
  return ran;
}

/** @errors throws with the command's own words. */
function must(command: string, args: string[], cwd = PROTO, input?: string | Buffer): Buffer {
  const ran = run(command, args, cwd, input);
  if (ran.status !== 0) throw new Error(`${command} ${args[0]} failed:\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

const formatted = (path: string, text: string): string =>
  must('biome', ['check', '--write', `--stdin-file-path=${path}`], ROOT, text).toString();

function put(root: string, path: string, text: string | Uint8Array): void {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}

/** Writes all derived files below `root`, which is the repository itself or an empty folder. */
function generate(root: string, imagePath: string): void {
  const image = readImage(readFileSync(imagePath));
  const catalogue = readCatalogue(image);
  must('buf', ['generate', '-o', join(root, 'proto')]);
  put(root, 'proto/index.ts', formatted('proto/index.ts', printIndex(image)));
  put(root, 'proto/derived/error-catalogue.ts', printModule(catalogue));
  put(root, 'proto/derived/errors.json', printJson(catalogue));
  put(root, 'docs/reference/errors.md', printPage(catalogue));
  const commands = must(process.execPath, [join(ROOT, 'terminal', 'print-commands.ts')], ROOT);
  const derive = join(ROOT, 'surface', 'derive', 'main.ts');
  const documents = must(process.execPath, [derive, imagePath], ROOT, commands);
  for (const [path, text] of Object.entries<string>(JSON.parse(documents.toString()))) put(root, path, text);
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Files that differ between the repository and a fresh generation, missing and left-over ones included. */
function differences(fresh: string): string[] {
  const made = filesBelow(fresh).map((path) => path.slice(fresh.length + 1));
  const stored = filesBelow(join(PROTO, 'gen')).map((path) => path.slice(ROOT.length + 1));
  const same = (path: string) =>
    existsSync(join(ROOT, path)) &&
    existsSync(join(fresh, path)) &&
    readFileSync(join(ROOT, path)).equals(readFileSync(join(fresh, path)));
  return [...new Set([...made, ...stored])].filter((path) => !same(path)).sort();
}

function checkBreaking(imagePath: string, mayBreak: boolean): void {
  if (mayBreak || !existsSync(BASELINE)) {
    must('buf', ['build', '.', '--exclude-source-info', '-o', BASELINE]);
    return;
  }
  must('buf', ['breaking', imagePath, '--config', 'buf.yaml', '--against', BASELINE]);
}

function main(argv: string[]): number {
  const folder = mkdtempSync(join(tmpdir(), 'tally-gen-'));
  try {
    const imagePath = join(folder, 'image.binpb');
    must('buf', ['lint', '.']);
    must('buf', ['build', '.', '-o', imagePath]);
    checkBreaking(imagePath, argv.includes('--accept-breaking'));
    if (!argv.includes('--check')) {
      generate(ROOT, imagePath);
      return 0;
    }
    const fresh = join(folder, 'fresh');
    mkdirSync(join(fresh, 'proto'), { recursive: true });
    generate(fresh, imagePath);
    const different = differences(fresh);
    for (const path of different) process.stderr.write(`out of date: ${path} (npm run gen)\n`);
    return different.length === 0 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = main(process.argv.slice(2));
