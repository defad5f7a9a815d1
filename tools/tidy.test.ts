/**
 * The house checks itself: every rule of the house over every file of this clone.
 * Promise: what a rule finds is printed in full, with the place and the way to mend it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { checkImports, checkLock, checkManifests } from './tidy/imports.ts';
import { checkExportNames, checkFileNames } from './tidy/names.ts';
import { checkDependencies, checkInvariants, checkLinks, checkPlanePages } from './tidy/papers.ts';
import { checkPurity } from './tidy/purity.ts';
import { type Problem, readPackages, readRepository } from './tidy/source.ts';
import {
  checkFloatMoney,
  checkHeads,
  checkLeftovers,
  checkSizes,
  checkSwitchedOff,
  checkTraces,
  tracesOf,
} from './tidy/text.ts';

const ROOT = dirname(import.meta.dirname);
const FILES = readRepository(ROOT);
const PACKAGES = readPackages(FILES);

function registryInUse(): string {
  const given = process.env['npm_config_registry'];
  return given ?? spawnSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).stdout.trim();
}

/** The contracts' tools are locked apart from everything else. */
function lockProblems(): Problem[] {
  const lockOf = (path: string) => FILES.find((file) => file.path === path)?.text ?? '';
  const contracts = PACKAGES.filter(({ folder }) => folder === 'tools/contracts');
  return [
    ...checkLock(
      lockOf('package-lock.json'),
      PACKAGES.filter((one) => !contracts.includes(one)),
    ),
    ...checkLock(
      lockOf('tools/contracts/package-lock.json'),
      contracts.map((one) => ({ ...one, folder: '' })),
    ),
  ];
}

describe('the house', () => {
  const rules: [string, () => Problem[]][] = [
    ['every package declares only the arrows of the import table, exactly pinned', () => checkManifests(PACKAGES)],
    [
      'every import follows a declared arrow, never a relative path into another package',
      () => checkImports(FILES, PACKAGES),
    ],
    ['the lock files are in step with the packages', () => lockProblems()],
    ['kernel and planes are pure', () => checkPurity(FILES)],
    ['files are named by a noun in kebab-case', () => checkFileNames(FILES)],
    ['exports are named, by words that say something', () => checkExportNames(FILES)],
    ['files are short enough to hold one idea', () => checkSizes(FILES)],
    ['files open with their purpose and promise', () => checkHeads(FILES)],
    ['money is never a float', () => checkFloatMoney(FILES)],
    ['nothing is left behind', () => checkLeftovers(FILES)],
    ['no test is switched off', () => checkSwitchedOff(FILES)],
    ['no file knows this machine', () => checkTraces(FILES, tracesOf(ROOT, registryInUse()))],
    ['every invariant is shown by a test, and every shown one is stated', () => checkInvariants(FILES)],
    ['every package taken from others has its reason', () => checkDependencies(FILES, PACKAGES)],
    ['every link leads somewhere', () => checkLinks(FILES, (path) => existsSync(join(ROOT, path)))],
    ['every plane has its page', () => checkPlanePages(FILES, PACKAGES)],
  ];
  for (const [title, check] of rules)
    it(title, () => {
      const problems = check();
      assert.ok(problems.length === 0, `\n${problems.join('\n')}`);
    });
});
