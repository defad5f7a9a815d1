/**
 * Makes the guest's one plain JavaScript file from its TypeScript sources, at the warden's start.
 * Promise: no compiler and no bundler in the sandbox's way: types are blanked out, the modules are laid end to end, as
 * CommonJS because Node starts that about 4 ms sooner than a module.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { refused } from './fault.ts';
import { writeBunGuest } from './guest-bun.ts';
import type { Level } from './image.ts';

export const GUEST_RUNTIMES = ['bun', 'node'] as const;
export type GuestRuntime = (typeof GUEST_RUNTIMES)[number];

/** What is started at a level without being asked: gVisor's kernel is Node's alone until more is known. Undefined: the soonest. */
export const guestFor = (level: Level): GuestRuntime | undefined => (level === 'gvisor' ? 'node' : undefined);

/** Each may import only what stands before it. */
const SOURCES = [
  'frame.ts',
  'outflow.ts',
  'exec.ts',
  'files.ts',
  'paths.ts',
  'remove.ts',
  'watch-tree.ts',
  'watch.ts',
  'dial.ts',
  'forward.ts',
  'terminal.ts',
  'terminal-host.ts',
  'guest.ts',
];
const LOCAL_IMPORT = /^import [^;]*? from '\.\/[^']*';$/gms;
const NODE_IMPORT = /^import \{([^}]*)\} from '(node:[^']*)';$/gms;
const ANY_IMPORT = /^import .*$/m;
const EXPORT = /^export (?=(const|class|function|async function) )/gm;

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

/**
 * Writes all that can run the guest here, and says which to start: as asked, or Bun's executable where it could be made.
 * @errors throws Fault `no_bun` when Bun was asked for and cannot be had.
 */
export function writeGuest(directory: string, asked: GuestRuntime | undefined): GuestRuntime {
  const program = guestProgram();
  writeFileSync(join(directory, 'guest.cjs'), program, { mode: 0o644 });
  const pty = ptyBindingFile();
  if (pty) copyFileSync(pty, join(directory, 'pty.node'));
  if (asked === 'node' || writeBunGuest(program, join(directory, 'guest'))) return asked ?? 'bun';
  if (asked === 'bun') throw refused('no_bun', 'its package is not installed, or it does not run on this machine');
  return 'node';
}

/** The native half of a terminal for this machine; undefined where the package has none: then there are no terminals. */
export function ptyBindingFile(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(`@lydell/node-pty-${process.platform}-${process.arch}/pty.node`);
  } catch {
    return undefined;
  }
}
