/**
 * What stands in the text: sizes, left-overs, switched-off tests, traces of one machine, money as a float.
 * Promise: each rule is one function over files; generated and foreign files are not judged, except for traces.
 */
import { codeOnly } from './code.ts';
import { findAll, isForeign, isTest, ownCode, type Problem, type SourceFile } from './source.ts';

export const FILE_LINES_MAX = 500;

/** One enumeration is one idea, and the language lets it stand in one file only; the other is written by a program. */
const CATALOGUES = new Set(['proto/tallystick/errors/v1/errors.proto', 'proto/index.ts']);

const JUDGED_FOR_SIZE = /\.(ts|mjs|js|sql|proto|sh)$/;

export function checkSizes(files: readonly SourceFile[]): Problem[] {
  const judged = files.filter(
    (file) => JUDGED_FOR_SIZE.test(file.path) && !CATALOGUES.has(file.path) && !isForeign(file),
  );
  return judged.flatMap(({ path, text }) => {
    const lines = text.trimEnd().split('\n').length;
    return lines > FILE_LINES_MAX
      ? [`${path}: ${lines} lines, at most ${FILE_LINES_MAX}: split it where it holds two ideas`]
      : [];
  });
}

/** Every file of code opens with what it is for and what it promises. */
export function checkHeads(files: readonly SourceFile[]): Problem[] {
  const judged = ownCode(files).filter((file) => !isTest(file));
  const bare = judged.filter(({ text }) => !/^(#![^\n]*\n)?\/\*\*[\s\S]*?\*\//.test(text));
  return bare.map(({ path }) => `${path}: opens without a comment on its purpose and promise`);
}

/** Spelled in halves, so that this file passes its own rule. */
const LEFTOVERS = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`, 'g');

export function checkLeftovers(files: readonly SourceFile[]): Problem[] {
  return files
    .filter((file) => !isForeign(file))
    .flatMap((file) => findAll(file, LEFTOVERS).map(({ at, match }) => `${at}: ${match[0]} left behind`));
}

const SWITCHED_OFF = /\b(?:it|test|describe|suite)\s*\.\s*(skip|only|todo)\b|\b(skip|only|todo)\s*:\s*true\b/g;

/** A skip is a probe's result with a reason; a test that is always off, or that turns the others off, is a hole. */
export function checkSwitchedOff(files: readonly SourceFile[]): Problem[] {
  return files.filter(isTest).flatMap((file) => {
    const found = findAll(file, SWITCHED_OFF, codeOnly(file.text));
    return found.map(({ at, match }) => `${at}: ${match[1] ?? match[2]} switches a test off`);
  });
}

/** Nothing that only one machine has: its folders, its package registry. */
export function checkTraces(files: readonly SourceFile[], traces: readonly string[]): Problem[] {
  return files.flatMap(({ path, text }) =>
    traces
      .filter((trace) => text.includes(trace))
      .map((trace) => `${path}: holds ${trace}, which only this machine knows`),
  );
}

const PUBLIC_REGISTRIES = [
  ['registry', 'npmjs', 'org'],
  ['registry', 'yarnpkg', 'com'],
  ['registry', 'npmmirror', 'com'],
  ['npm', 'pkg', 'github', 'com'],
].map((parts) => parts.join('.'));

/**
 * What the files of this clone must not hold.
 *
 * @param root absolute path of the clone
 * @param registry address of the package registry in use; empty when unknown
 */
export function tracesOf(root: string, registry: string): string[] {
  const host = URL.canParse(registry) ? new URL(registry).host : '';
  const isTelling = host !== '' && !/^(localhost|127\.0\.0\.1)$/.test(host);
  const folder = root.replace(/\/$/, '');
  const parent = folder.slice(0, folder.lastIndexOf('/') + 1);
  return [
    `${folder}/`,
    ...(/^\/(tmp\/)?$/.test(parent) ? [] : [parent]),
    ...(isTelling ? [host] : []),
    ...PUBLIC_REGISTRIES,
  ];
}

const MONEY_AS_NUMBER = /\b(\w*(?:[mM]icros|[uU]sd)(?:Max|Min)?)\??\s*:\s*number\b/g;
const MONEY_TO_FLOAT = /\bparseFloat\s*\(|\bNumber\([^()]*[mM]icros\w*\)/g;
const MONEY_FOLDERS = /^(kernel|planes|engine|surface|api|meter)\//;

export function checkFloatMoney(files: readonly SourceFile[]): Problem[] {
  return ownCode(files).flatMap((file) => {
    const code = codeOnly(file.text);
    const typed = findAll(file, MONEY_AS_NUMBER, code).map(
      ({ at, match }) => `${at}: ${match[1]} is money; use bigint`,
    );
    const isMoneyCode = MONEY_FOLDERS.test(file.path) && !isTest(file);
    const turned = isMoneyCode ? findAll(file, MONEY_TO_FLOAT, code) : [];
    return [...typed, ...turned.map(({ at, match }) => `${at}: ${match[0]} turns money into a float`)];
  });
}
