#!/usr/bin/env node
/**
 * Starts the terminal under a Node that can run it.
 * Promise: plain JavaScript for any Node since 16; finds Node 24.15 or newer beside the clone or says what to do.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import * as modules from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NODE_MIN = [24, 15];
const EXIT_USAGE = 2;
const TERMINAL = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))));
const MAIN = join(TERMINAL, 'main.ts');
/** What Node has compiled is kept beside the packages, where whoever could change it could change them: starts take half as long. */
const PACKAGES = join(dirname(TERMINAL), 'node_modules');

const isNewEnough = (version) => {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number);
  return major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
};

/** A Node that npm put beside this package, looked for from here upwards. */
function nodeBeside() {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  for (let folder = TERMINAL; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', '.bin', name);
    if (existsSync(candidate)) {
      const asked = spawnSync(candidate, ['--version'], { encoding: 'utf8' });
      if (asked.status === 0 && isNewEnough(asked.stdout.trim())) return candidate;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

/** The child gets the terminal's signals itself when it shares our process group; others are passed on. */
function runUnder(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => undefined);
  child.on('error', (fault) => {
    process.stderr.write(`tally: cannot start ${node}: ${fault.message}\n`);
    process.exitCode = EXIT_USAGE;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code === null ? 128 + (constants.signals[signal] || 0) : code;
  });
}

if (isNewEnough(process.versions.node)) {
  if (existsSync(PACKAGES)) modules.enableCompileCache?.(join(PACKAGES, '.cache', 'tally'));
  const { main } = await import(pathToFileURL(MAIN).href);
  await main();
} else {
  const node = nodeBeside();
  if (node) runUnder(node);
  else {
    process.stderr.write(
      `tally: needs Node ${NODE_MIN.join('.')} or newer; this is ${process.versions.node}, and none stands in node_modules/.bin.\n` +
        '       Run `npm ci --ignore-scripts` in the clone (it brings one), or install Node 24.\n',
    );
    process.exitCode = EXIT_USAGE;
  }
}
