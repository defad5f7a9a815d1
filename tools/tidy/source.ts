/**
 * The repository as values: files with their text, packages with their manifest, and code without its comments.
 * Promise: the rules of the house are pure functions over what stands here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOnly, withoutComments } from './code.ts';

export interface SourceFile {
  /** From the root, with forward slashes. */
  path: string;
  text: string;
}

export interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

export interface Package {
  /** Folder from the root; empty for the root itself. */
  folder: string;
  manifest: Manifest;
}

/** What a rule found: where, and what is wrong in words that say how to mend it. */
export type Problem = string;

const SKIPPED_FOLDERS = new Set(['node_modules', '.git', '.tally', 'dist', 'coverage']);
/** Written by a program or by somebody else: no rule of style applies. */
const FOREIGN = /(^|\/)(gen|derived|vectors|third_party)\/|(^|\/)package-lock\.json$|(^|\/)LICENSE$/;
const TEXT_FILE = /\.(ts|mjs|js|json|md|sql|proto|sh|yaml|yml|txt|html|css)$|(^|\/)(run|LICENSE|\.npmrc|\.gitignore)$/;

export function readRepository(root: string, folder = ''): SourceFile[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = folder ? `${folder}/${entry.name}` : entry.name;
    if (entry.isDirectory()) return SKIPPED_FOLDERS.has(entry.name) ? [] : readRepository(root, path);
    return entry.isFile() && TEXT_FILE.test(path) ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}

export const isForeign = (file: SourceFile): boolean => FOREIGN.test(file.path);
export const isTest = (file: SourceFile): boolean => file.path.endsWith('.test.ts');
export const isTypeScript = (file: SourceFile): boolean => file.path.endsWith('.ts');

/** Our own TypeScript: what the rules of style are about. */
export const ownCode = (files: readonly SourceFile[]): SourceFile[] =>
  files.filter((file) => isTypeScript(file) && !isForeign(file));

export function readPackages(files: readonly SourceFile[]): Package[] {
  const manifests = files.filter((file) => /(^|\/)package\.json$/.test(file.path));
  return manifests.map((file) => ({
    folder: file.path.replace(/\/?package\.json$/, ''),
    manifest: JSON.parse(file.text) as Manifest,
  }));
}

/** The package in whose folder the path lies: the innermost one. */
export function packageOf(path: string, packages: readonly Package[]): Package | undefined {
  const owners = packages.filter(({ folder }) => folder === '' || path.startsWith(`${folder}/`));
  return owners.sort((a, b) => b.folder.length - a.folder.length)[0];
}

export const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length;

/** Every match of the pattern as `path:line`, with what matched. */
export function findAll(
  file: SourceFile,
  pattern: RegExp,
  text = file.text,
): { at: string; match: RegExpMatchArray }[] {
  return [...text.matchAll(pattern)].map((match) => ({ at: `${file.path}:${lineOf(text, match.index)}`, match }));
}

export interface Import {
  specifier: string;
  line: number;
}

const IMPORT = /\b(?:import|export)\b[^;'"`()]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g;

/** Static, side-effect, type-only and dynamic imports, and re-exports; not what only looks like one in a string. */
export function importsOf(text: string): Import[] {
  const written = withoutComments(text);
  const code = codeOnly(text);
  const real = [...written.matchAll(IMPORT)].filter((match) => code[match.index] === written[match.index]);
  return real.map((match) => ({
    specifier: match[1] ?? match[2] ?? '',
    line: lineOf(written, match.index + match[0].length),
  }));
}
