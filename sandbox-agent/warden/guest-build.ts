/**
 * Makes the guest's one plain JavaScript file from its TypeScript sources, at the warden's start.
 * Promise: no compiler and no bundler in the sandbox's way: types are blanked out, the modules are laid end to end.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';

/** Each may import only what stands before it. */
const SOURCES = ['frame.ts', 'outflow.ts', 'exec.ts', 'files.ts', 'dial.ts', 'terminal.ts', 'guest.ts'];
const LOCAL_IMPORT = /^import [^;]*? from '\.\/[^']*';$/gms;
const EXPORT = /^export (?=(const|function|async function) )/gm;

/** Names of the modules must not collide: they share one scope; the guest's own tests would show it as a SyntaxError. */
export function guestProgram(): string {
  const folder = join(import.meta.dirname, '..', 'guest');
  const plain = SOURCES.map((name) => stripTypeScriptTypes(readFileSync(join(folder, name), 'utf8')));
  return plain.map((source) => source.replace(LOCAL_IMPORT, '').replace(EXPORT, '')).join('\n');
}

export function writeGuest(directory: string): void {
  writeFileSync(join(directory, 'guest.mjs'), guestProgram(), { mode: 0o644 });
  const pty = ptyBindingFile();
  if (pty) copyFileSync(pty, join(directory, 'pty.node'));
}

/** The native half of a terminal for this machine; undefined where the package has none: then there are no terminals. */
export function ptyBindingFile(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(`@lydell/node-pty-${process.platform}-${process.arch}/pty.node`);
  } catch {
    return undefined;
  }
}
