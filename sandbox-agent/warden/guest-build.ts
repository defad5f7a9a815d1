/**
 * Makes the guest's one plain JavaScript file from its TypeScript sources, at the warden's start.
 * Promise: no compiler and no bundler in the sandbox's way: types are blanked out, the modules are laid end to end, as
 * CommonJS because Node starts that about 4 ms sooner than a module.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';

/** Each may import only what stands before it. */
const SOURCES = [
  'frame.ts',
  'outflow.ts',
  'exec.ts',
  'files.ts',
  'paths.ts',
  'remove.ts',
  'dial.ts',
  'forward.ts',
  'terminal.ts',
  'guest.ts',
];
const LOCAL_IMPORT = /^import [^;]*? from '\.\/[^']*';$/gms;
const NODE_IMPORT = /^import \{([^}]*)\} from '(node:[^']*)';$/gms;
const ANY_IMPORT = /^import .*$/m;
const EXPORT = /^export (?=(const|function|async function) )/gm;

/** `var`, because several modules may take the same name from Node. */
function asRequire(_: string, names: string, module: string): string {
  return `var {${names.replaceAll(' as ', ': ')}} = require('${module}');`;
}

/**
 * Names of the modules must not collide: they share one scope; the guest's own tests would show it as a SyntaxError.
 * @errors throws TypeError on an import that is neither local nor by name from `node:`.
 */
export function guestProgram(): string {
  const folder = join(import.meta.dirname, '..', 'guest');
  const plain = SOURCES.map((name) => stripTypeScriptTypes(readFileSync(join(folder, name), 'utf8')));
  const bare = plain.map((source) => source.replace(LOCAL_IMPORT, '').replace(NODE_IMPORT, asRequire));
  const left = bare.map((source) => ANY_IMPORT.exec(source)?.[0]).find(Boolean);
  if (left) throw new TypeError(`the guest cannot be built with this import: ${left}`);
  return `'use strict';\n${bare.map((source) => source.replace(EXPORT, '')).join('\n')}`;
}

export function writeGuest(directory: string): void {
  writeFileSync(join(directory, 'guest.cjs'), guestProgram(), { mode: 0o644 });
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
