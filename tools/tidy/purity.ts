/**
 * Kernel and planes do no I/O: no clock, no chance, no environment, no network, no Node modules.
 * Promise: the same decision everywhere and for ever; whoever breaks it is told with the place.
 */
import { codeOnly } from './code.ts';
import { findAll, importsOf, isTest, ownCode, type Problem, type SourceFile } from './source.ts';

const PURE_FOLDERS = /^(kernel|planes)\//;
const IMPURE =
  /(?<![.\w])(Date|process|fetch|performance|setTimeout|setInterval|setImmediate|queueMicrotask|globalThis|WebSocket|console)\b(?!\s*\??:)|\bMath\.random\b/g;
/** The only files that may touch Node: hashing and signatures come from its own crypto. */
const CRYPTO_FILES = new Set(['kernel/hashes.ts', 'kernel/hpke.ts', 'kernel/signatures.ts']);

function checkNodeImport(file: SourceFile, specifier: string): boolean {
  if (!specifier.startsWith('node:')) return true;
  return specifier === 'node:crypto' && CRYPTO_FILES.has(file.path);
}

export function checkPurity(files: readonly SourceFile[]): Problem[] {
  const pure = ownCode(files).filter((file) => PURE_FOLDERS.test(file.path) && !isTest(file));
  return pure.flatMap((file) => {
    const globals = findAll(file, IMPURE, codeOnly(file.text)).map(({ at, match }) => `${at}: ${match[0]} is not pure`);
    const wrong = importsOf(file.text).filter(({ specifier }) => !checkNodeImport(file, specifier));
    return [...globals, ...wrong.map(({ specifier, line }) => `${file.path}:${line}: ${specifier} is not pure`)];
  });
}
