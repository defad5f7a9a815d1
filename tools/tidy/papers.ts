/**
 * Papers that would rot if nobody read them: invariants, dependencies, links, one page per plane.
 * Promise: what the papers say and what the code has are held equal in both directions.
 */
import { posix } from 'node:path';
import { SCOPE } from '../import-table.ts';
import { isForeign, isTest, lineOf, type Package, type Problem, type SourceFile } from './source.ts';

const INVARIANTS = 'docs/INVARIANTS.md';
const DEPENDENCIES = 'docs/dependencies.md';

const textOf = (files: readonly SourceFile[], path: string): string =>
  files.find((file) => file.path === path)?.text ?? '';

const firstCells = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] ?? '');

/** What occurs twice, what only the left has, what only the right has. */
function compare(left: readonly string[], right: ReadonlySet<string>) {
  return {
    twice: left.filter((one, index) => left.indexOf(one) !== index),
    onlyLeft: left.filter((one) => !right.has(one)),
    onlyRight: [...right].filter((one) => !left.includes(one)).sort(),
  };
}

/** Every invariant is shown by a test that carries its id in its title. */
export function checkInvariants(files: readonly SourceFile[]): Problem[] {
  const stated = firstCells(textOf(files, INVARIANTS), /^\| (I-\d+) \|/gm);
  const titles = files.filter((file) => isTest(file) && !file.path.startsWith('tools/tidy')).map((file) => file.text);
  const shown = new Set(titles.flatMap((text) => firstCells(text, /\[(I-\d+)\]/g)));
  const { twice, onlyLeft, onlyRight } = compare(stated, shown);
  return [
    ...twice.map((id) => `${INVARIANTS}: ${id} is stated twice`),
    ...onlyLeft.map((id) => `${INVARIANTS}: no test carries [${id}] in its title`),
    ...onlyRight.map((id) => `${INVARIANTS}: a test shows ${id}, which is not stated`),
  ];
}

/** Every package we take from others has its one line of reason. */
export function checkDependencies(files: readonly SourceFile[], packages: readonly Package[]): Problem[] {
  const taken = packages.flatMap(({ manifest }) =>
    Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies }),
  );
  const theirs = new Set(taken.filter((name) => !name.startsWith(SCOPE)));
  const reasoned = firstCells(textOf(files, DEPENDENCIES), /^\| `([^`]+)` \|/gm);
  const { twice, onlyLeft, onlyRight } = compare(reasoned, theirs);
  return [
    ...twice.map((name) => `${DEPENDENCIES}: ${name} has two lines`),
    ...onlyLeft.map((name) => `${DEPENDENCIES}: ${name} is not used any more`),
    ...onlyRight.map((name) => `${DEPENDENCIES}: ${name} has no line that says why we take it`),
  ];
}

const withoutCode = (text: string): string =>
  text
    .replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ' '))
    .replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));

/** Anchors as GitHub makes them of headings. */
const anchorsOf = (text: string): string[] =>
  firstCells(text, /^#{1,6} +(.+)$/gm).map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Links between our papers and into the code lead somewhere. `exists` answers for a path from the root. */
export function checkLinks(files: readonly SourceFile[], exists: (path: string) => boolean): Problem[] {
  const papers = files.filter((file) => file.path.endsWith('.md') && !isForeign(file));
  return papers.flatMap((file) => {
    const text = withoutCode(file.text);
    return [...text.matchAll(/\]\(([^)\s]+)[^)]*\)/g)].flatMap((match) => {
      const link = match[1] ?? '';
      if (/^[a-z][a-z0-9+.-]*:/.test(link)) return [];
      const [path = '', anchor = ''] = link.split('#');
      const target = path === '' ? file.path : posix.join(posix.dirname(file.path), path);
      const at = `${file.path}:${lineOf(text, match.index)}`;
      if (!exists(target)) return [`${at}: ${link} leads nowhere`];
      const isKnown = anchor === '' || !target.endsWith('.md') || anchorsOf(textOf(files, target)).includes(anchor);
      return isKnown ? [] : [`${at}: ${link} names no heading of ${target}`];
    });
  });
}

/** Every plane has its one page. */
export function checkPlanePages(files: readonly SourceFile[], packages: readonly Package[]): Problem[] {
  const planes = packages.filter(({ folder }) => /^planes\/[^/]+$/.test(folder));
  const missing = planes.filter(({ folder }) => textOf(files, `${folder}/README.md`) === '');
  return missing.map(({ folder }) => `${folder}/README.md: every plane has its one page`);
}
