/**
 * The groups in which the suite runs, and the choice of tests that the command line names.
 * Promise: every test file belongs to exactly one group; a file that no group claims is a unit test.
 */
import { globSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface Group {
  name: string;
  files: string[];
  /** Measures time or loads the machine: nothing else runs beside it. */
  isAlone: boolean;
  /** It is ended after this long; absent: as every group. */
  msMax?: number;
}

interface Claim {
  name: string;
  isAlone: boolean;
  msMax?: number;
  owns(file: string): boolean;
}

const inFolder = (folder: string) => (file: string) => file.startsWith(`${folder}/`);

/** No `*.test.ts`, so that neither a folder's name nor a glob of tests means it. */
const LONG_SUFFIX = '.test.long.ts';

/** A soak of an hour, and what else takes minutes, on a slow machine. */
const LONG_MS_MAX = 4 * 3_600_000;

/** Real processes that wait for real time: eight minutes on two quiet cores, and no failure on a machine three times slower. */
const ACCEPTANCE_MS_MAX = 30 * 60_000;

/** The first claim that owns a file gets it. */
const CLAIMS: readonly Claim[] = [
  { name: 'long', isAlone: true, msMax: LONG_MS_MAX, owns: (file) => file.endsWith(LONG_SUFFIX) },
  { name: 'acceptance', isAlone: true, msMax: ACCEPTANCE_MS_MAX, owns: inFolder('acceptance') },
  { name: 'sandbox', isAlone: true, owns: (file) => /^(sandbox-agent|engine\/adapters\/provider)\//.test(file) },
  {
    name: 'engine',
    isAlone: false,
    owns: (file) => /^(engine|meter\/chain|laws|api\/(deposits|handlers|quotes))\//.test(file),
  },
  { name: 'payments', isAlone: false, owns: (file) => /^(sdk|terminal)\/payments\//.test(file) },
  { name: 'clients', isAlone: false, owns: (file) => /^(sdk|terminal)\//.test(file) },
  { name: 'unit', isAlone: false, owns: () => true },
];

/** Groups start in this order: what needs the whole machine comes last. */
export const GROUP_NAMES = CLAIMS.map((claim) => claim.name).reverse();

/** Takes many minutes: it runs only when it is named. */
const ONLY_BY_NAME = 'long';

const SKIPPED_FOLDERS = ['node_modules', '.git', '.tally', 'dist', 'coverage', 'gen', 'vectors'];

/** Every test file below the root, as sorted paths with forward slashes. */
export function findTestFiles(root: string): string[] {
  const found = globSync(['**/*.test.ts', `**/*${LONG_SUFFIX}`], {
    cwd: root,
    exclude: (name) => SKIPPED_FOLDERS.includes(name),
  });
  return found.map((file) => file.replaceAll('\\', '/')).sort();
}

/** Distributes files over the groups; groups without a file are left out. */
export function groupFiles(files: readonly string[]): Group[] {
  const groups = GROUP_NAMES.map((name): Group => {
    const { isAlone, msMax } = claimOf(name);
    return { name, files: [], isAlone, ...(msMax === undefined ? {} : { msMax }) };
  });
  for (const file of files) {
    const claim = CLAIMS.find((candidate) => candidate.owns(file));
    groups.find((group) => group.name === claim?.name)?.files.push(file);
  }
  return groups.filter((group) => group.files.length > 0);
}

function claimOf(name: string): Claim {
  const claim = CLAIMS.find((candidate) => candidate.name === name);
  if (!claim) throw new TypeError(`no test group is called ${name}`);
  return claim;
}

/**
 * The files that one word of the command line means: a group, a folder, a file or a glob.
 *
 * @errors throws RangeError when the word matches no test file
 */
function filesOf(word: string, root: string, all: readonly string[]): string[] {
  if (GROUP_NAMES.includes(word)) return groupFiles(all).find((group) => group.name === word)?.files ?? [];
  const path = word.replace(/^\.\//, '').replace(/\/$/, '');
  const isFolder = statSync(join(root, path), { throwIfNoEntry: false })?.isDirectory() ?? false;
  const wanted = new Set(globSync(isFolder ? `${path}/**/*.test.ts` : path, { cwd: root }));
  const chosen = all.filter((file) => wanted.has(file));
  if (chosen.length === 0) throw new RangeError(`no test file matches ${word}; groups: ${GROUP_NAMES.join(', ')}`);
  return chosen;
}

/** @errors throws RangeError when a word matches nothing */
export function chooseGroups(words: readonly string[], root: string): Group[] {
  const all = findTestFiles(root);
  if (words.length === 0) return groupFiles(all).filter((group) => group.name !== ONLY_BY_NAME);
  const chosen = new Set(words.flatMap((word) => filesOf(word, root, all)));
  return groupFiles(all.filter((file) => chosen.has(file)));
}
