/**
 * Names: files in kebab-case, no word that says nothing, no export of everything.
 * Promise: a name that the house does not use is told with its place.
 */
import { codeOnly } from './code.ts';
import { findAll, isForeign, ownCode, type Problem, type SourceFile } from './source.ts';

const KEBAB_SEGMENT = /^\.?[a-z0-9]+([.-][a-z0-9]+)*$/;
const SNAKE_PROTO = /^[a-z0-9]+(_[a-z0-9]+)*\.proto$/;
/** Papers whose name the field has fixed. */
const PAPERS = /^(README|LICENSE|SECURITY|CONTRIBUTING|CHANGELOG|ARCHITECTURE|GLOSSARY|INVARIANTS|NOTICE)(\.md)?$/;

/** Wherever they stand in a name, they hide what the thing is. */
const EMPTY_WORDS = new Set(['manager', 'helper', 'helpers', 'util', 'utils', 'misc']);
/** As the main noun, the last word, they say nothing. */
const EMPTY_NOUNS = new Set(['data', 'info', 'service']);
/** Alone they say nothing; behind another word (`warden-process`) they may. */
const EMPTY_ALONE = new Set(['common', 'process', 'handle', 'do']);

/** Words of a camelCase, PascalCase, UPPER_CASE or kebab-case name. */
const wordsOf = (name: string): string[] =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .split(/[-_]/)
    .filter(Boolean);

/** The word for which the house does not use the name. */
export function emptyWordIn(name: string): string | undefined {
  const words = wordsOf(name);
  const noun = words.at(-1) ?? '';
  const isEmptyNoun = EMPTY_NOUNS.has(noun) || (words.length === 1 && EMPTY_ALONE.has(noun));
  return words.find((word) => EMPTY_WORDS.has(word)) ?? (isEmptyNoun ? noun : undefined);
}

function checkPath(path: string): Problem[] {
  const segments = path.split('/');
  const odd = segments.find((one) => !KEBAB_SEGMENT.test(one) && !PAPERS.test(one) && !SNAKE_PROTO.test(one));
  if (odd) return [`${path}: ${odd} is not kebab-case`];
  const empty = segments.map((one) => emptyWordIn(one.split('.')[0] ?? '')).find(Boolean);
  return empty ? [`${path}: "${empty}" names nothing; use the noun of what it holds`] : [];
}

export function checkFileNames(files: readonly SourceFile[]): Problem[] {
  return files.filter((file) => !isForeign(file)).flatMap((file) => checkPath(file.path));
}

const EXPORTED = /\bexport\s+(?:declare\s+)?(?:async\s+)?(?:const|let|function\*?|class|interface|type)\s+(\w+)/g;

export function checkExportNames(files: readonly SourceFile[]): Problem[] {
  return ownCode(files).flatMap((file) => {
    const code = codeOnly(file.text);
    const stars = findAll(file, /\bexport\s*\*/g, code).map(({ at }) => `${at}: export by name, not everything`);
    const names = findAll(file, EXPORTED, code).flatMap(({ at, match }) => {
      const empty = emptyWordIn(match[1] ?? '');
      return empty ? [`${at}: ${match[1]}: "${empty}" names nothing`] : [];
    });
    return [...stars, ...names];
  });
}
