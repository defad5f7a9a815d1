/**
 * Makes the guest's executable for machines that have Bun: its program as bytecode inside Bun's own binary.
 * Promise: what it makes does what the plain file does under Node, sooner; where Bun is not there or does not run on this
 * processor, nothing is made and Node runs the guest.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What the tenant's home may hold must not steer the guest: a compiled program would read these from there. */
const NOTHING_FROM_HOME = ['dotenv', 'bunfig', 'tsconfig', 'package-json'].map(
  (name) => `--no-compile-autoload-${name}`,
);
const BUILD_FLAGS = ['build', '--compile', '--bytecode', '--minify', '--sourcemap=none', ...NOTHING_FROM_HOME];
const BUILD_MS_MAX = 30_000;
/** Some 110 MB each; older ones may still be in the hands of a warden that is just starting. */
const BUILDS_KEPT = 2;

/** The package's binary; undefined where it was not installed: it is optional and for x86-64 with glibc only. */
export function bunFile(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve(
      `@oven/bun-${process.platform}-${process.arch}/package.json`,
    );
    const file = join(dirname(manifest), 'bin', 'bun');
    accessSync(file, constants.X_OK);
    return file;
  } catch {
    return undefined;
  }
}

/** Beside the installed packages, so that one build serves every warden of this installation. */
function cacheFolder(bun: string): string {
  return join(dirname(bun), '..', '..', '..', '.cache', 'tallystick-guest');
}

function nameOf(bun: string, program: string): string {
  const { version } = JSON.parse(readFileSync(join(dirname(bun), '..', 'package.json'), 'utf8'));
  const hash = createHash('sha256').update([version, ...BUILD_FLAGS, program].join('\0'));
  return `guest-${hash.digest('hex').slice(0, 32)}`;
}

/** @errors throws when Bun does not run here or the folder cannot be written. */
function build(bun: string, program: string, file: string): void {
  const work = mkdtempSync(join(dirname(file), 'new-'));
  try {
    writeFileSync(join(work, 'guest.cjs'), program);
    const flags = [...BUILD_FLAGS, 'guest.cjs', '--outfile', 'guest'];
    execFileSync(bun, flags, { cwd: work, env: { HOME: work }, stdio: 'pipe', timeout: BUILD_MS_MAX });
    renameSync(join(work, 'guest'), file);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function dropOldBuilds(folder: string): void {
  const builds = readdirSync(folder).filter((name) => name.startsWith('guest-'));
  const ageOf = (name: string): number => statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const oldest = builds.sort((a, b) => ageOf(b) - ageOf(a)).slice(BUILDS_KEPT);
  for (const name of oldest) rmSync(join(folder, name), { force: true });
}

function builtIn(folder: string, bun: string, program: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const file = join(folder, nameOf(bun, program));
  if (!existsSync(file)) {
    build(bun, program, file);
    dropOldBuilds(folder);
  }
  return file;
}

/** Writes the executable as `file`; false when this machine cannot have one. */
export function writeBunGuest(program: string, file: string): boolean {
  const bun = bunFile();
  if (!bun) return false;
  try {
    const built = builtIn(cacheFolder(bun), bun, program);
    linkOrCopy(built, file);
  } catch {
    return builtHere(bun, program, file);
  }
  return true;
}

/** The installation is read-only, or its build vanished between look and link. */
function builtHere(bun: string, program: string, file: string): boolean {
  try {
    build(bun, program, file);
    return true;
  } catch {
    return false;
  }
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
  }
}
