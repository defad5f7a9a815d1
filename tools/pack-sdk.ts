/**
 * Makes the package that others install: `@tallystick/sdk` as JavaScript with types, what it needs of this repository inside.
 * Promise: it runs under any Node since 20.11 without type stripping; it depends only on published packages, exactly pinned.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix, relative, resolve } from 'node:path';

const ROOT = dirname(import.meta.dirname);
const NODE_MIN = '>=20.11';
/** Folders of this repository that may go into the package. */
const PARTS = ['sdk', 'kernel', 'proto', 'surface'];
/** "Will not be rewritten because it is not a relative path": link() does. */
const LINKED_HERE = /error TS2877: /;
const SPECIFIER = /(\bfrom\s+|\bimport\s+|\bimport\()(['"])([^'"\n]+)\2/g;

/** What Node 20 lacks of the language and the web; put in place only where it is missing. */
const OLDER_NODE = `import { WebSocket } from 'ws';
globalThis.WebSocket ??= WebSocket;
Promise.withResolvers ??= function withResolvers() {
  let resolve, reject;
  const promise = new this((yes, no) => ((resolve = yes), (reject = no)));
  return { promise, resolve, reject };
};
Array.fromAsync ??= async function fromAsync(items, map = (item) => item) {
  const all = [];
  for await (const item of items) all.push(await map(item, all.length));
  return all;
};
`;

interface Manifest {
  version: string;
  license: string;
  exports: Record<string, string>;
  dependencies?: Record<string, string>;
}

const manifestOf = (part: string): Manifest => JSON.parse(readFileSync(join(ROOT, part, 'package.json'), 'utf8'));

/** Where the compiler finds each door of each part. */
function pathsOfParts(): Record<string, string[]> {
  const doors = PARTS.flatMap((part) =>
    Object.entries(manifestOf(part).exports).map(([door, target]): [string, string[]] => [
      `@tallystick/${part}${door.slice(1)}`,
      [`./${posix.join(part, target)}`],
    ]),
  );
  return Object.fromEntries(doors);
}

/** Compiles the sdk and all that it imports of this repository. @errors throws with the compiler's words */
function compile(to: string): void {
  const base = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')) as { compilerOptions: object };
  const compilerOptions = {
    ...base.compilerOptions,
    target: 'es2022',
    noEmit: false,
    allowImportingTsExtensions: false,
    rewriteRelativeImportExtensions: true,
    declaration: true,
    stripInternal: false,
    rootDir: ROOT,
    outDir: to,
    typeRoots: [join(ROOT, 'node_modules', '@types')],
    paths: pathsOfParts(), // what is found in node_modules would not be compiled
  };
  const config = join(ROOT, `.tsconfig-pack-${process.pid}.json`);
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [join(ROOT, 'sdk', 'index.ts')] }));
  try {
    const ran = spawnSync(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', config], { encoding: 'utf8' });
    const complaints = `${ran.stdout}${ran.stderr}`.split('\n').filter((line) => line && !LINKED_HERE.test(line));
    if (complaints.length > 0) throw new Error(`tsc failed:\n${complaints.join('\n')}`);
  } finally {
    rmSync(config);
  }
}

/** `@tallystick/kernel/sealing` as the compiled file behind it, seen from `file`. */
function insideOf(specifier: string, file: string): string | undefined {
  const [, part = '', below = ''] = /^@tallystick\/([a-z-]+)(\/.*)?$/.exec(specifier) ?? [];
  if (!PARTS.includes(part)) return undefined;
  const { exports } = manifestOf(part);
  const target = exports[`.${below}`] ?? (below.startsWith('/gen/') ? `.${below}` : undefined);
  if (target === undefined) throw new Error(`${file} imports ${specifier}, which ${part} does not export`);
  const path = posix.join(part, target.replace(/\.ts$/, '.js'));
  const from = posix.relative(posix.dirname(file), path);
  return from.startsWith('.') ? from : `./${from}`;
}

/** Points imports of this repository to the compiled files; says which other packages are imported. */
function link(dist: string): Set<string> {
  const others = new Set<string>(['ws']);
  for (const file of globSync('**/*.{js,d.ts}', { cwd: dist })) {
    const path = join(dist, file);
    const text = readFileSync(path, 'utf8');
    const linked = text.replace(SPECIFIER, (whole, before: string, quote: string, specifier: string) => {
      const inside = insideOf(specifier, file);
      if (inside !== undefined) return `${before}${quote}${inside}${quote}`;
      const [scope = '', name = ''] = specifier.split('/');
      if (/^(\.|node:)/.test(specifier) || /^\s/.test(specifier)) return whole;
      others.add(scope.startsWith('@') ? `${scope}/${name}` : scope);
      return whole;
    });
    writeFileSync(path, linked);
  }
  return others;
}

/** The pins of this repository's own packages. @errors throws for a package that none of them declares */
function pinned(names: Iterable<string>): Record<string, string> {
  const known = Object.assign({}, ...PARTS.map((part) => manifestOf(part).dependencies ?? {})) as Record<
    string,
    string
  >;
  return Object.fromEntries(
    [...names].sort().map((name) => {
      const version = known[name];
      if (version === undefined) throw new Error(`${name} is imported and declared nowhere`);
      return [name, version];
    }),
  );
}

/** Writes the folder that `npm pack` takes. */
export function buildPackage(folder: string): void {
  const dist = join(folder, 'dist');
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  compile(dist);
  const dependencies = pinned(link(dist));
  const index = join(dist, 'sdk', 'index.js');
  writeFileSync(join(dist, 'older-node.js'), OLDER_NODE);
  writeFileSync(index, `import '../older-node.js';\n${readFileSync(index, 'utf8')}`);
  const { version, license } = manifestOf('sdk');
  const manifest = {
    name: '@tallystick/sdk',
    version,
    license,
    description: 'Buy machines by the minute, work on them, and prove what happened.',
    type: 'module',
    engines: { node: NODE_MIN },
    sideEffects: ['./dist/older-node.js', './dist/sdk/index.js'],
    exports: { '.': { types: './dist/sdk/index.d.ts', default: './dist/sdk/index.js' } },
    files: ['dist', 'README.md', 'LICENSE'],
    dependencies,
  };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const name of ['sdk/README.md', 'LICENSE'])
    if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(folder, posix.basename(name)));
}

/** Builds and packs; says the path of the file. @errors throws with npm's words */
export function packSdk(toFolder: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'tally-pack-'));
  try {
    buildPackage(folder);
    const ran = spawnSync('npm', ['pack', '--json', '--pack-destination', toFolder], { cwd: folder, encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`npm pack failed:\n${ran.stderr}`);
    const [{ filename }] = JSON.parse(ran.stdout) as [{ filename: string }];
    return join(toFolder, filename.replace('@', '').replace('/', '-'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const to = resolve(process.argv[2] ?? '.');
  mkdirSync(to, { recursive: true });
  console.log(relative(process.cwd(), packSdk(to)));
}
