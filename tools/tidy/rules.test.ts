/**
 * Every rule of the house against planted violations, and against what it must let pass.
 * Promise: a rule that has gone blind fails here.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkImports, checkLock, checkManifests } from './imports.ts';
import { checkExportNames, checkFileNames, emptyWordIn } from './names.ts';
import { checkDependencies, checkInvariants, checkLinks, checkPlanePages } from './papers.ts';
import { checkPurity } from './purity.ts';
import type { Manifest, Package, Problem, SourceFile } from './source.ts';
import {
  checkFloatMoney,
  checkHeads,
  checkLeftovers,
  checkSizes,
  checkSwitchedOff,
  checkTraces,
  FILE_LINES_MAX,
  tracesOf,
} from './text.ts';

const file = (path: string, text = ''): SourceFile => ({ path, text });
const pack = (folder: string, name: string, dependencies: Record<string, string> = {}): Package => {
  const manifest: Manifest = { name, dependencies };
  return { folder, manifest };
};

const PACKAGES: Package[] = [
  pack('', 'tallystick'),
  pack('kernel', '@tallystick/kernel', { '@tallystick/proto': '0.1.0' }),
  pack('planes', '@tallystick/planes', { '@tallystick/hosting': '0.1.0' }),
  pack('planes/hosting', '@tallystick/hosting', { '@tallystick/kernel': '0.1.0' }),
  pack('terminal', '@tallystick/terminal', { '@tallystick/sdk': '0.1.0' }),
];

/** One row: what is planted, the rule, and what it must say; undefined: it must be silent. */
type Row = [title: string, problems: Problem[], expected: RegExp | undefined];

function judge(rows: readonly Row[]): void {
  for (const [title, problems, expected] of rows)
    it(`${expected ? 'tells' : 'lets pass'} ${title}`, () => {
      if (!expected) assert.deepEqual(problems, []);
      else assert.match(problems.join('\n'), expected);
    });
}

describe('import rules', () => {
  const imports = (path: string, text: string) => checkImports([file(path, text)], PACKAGES);
  judge([
    ['a declared arrow', imports('planes/hosting/a.ts', "import { a } from '@tallystick/kernel';"), undefined],
    ['a subpath of it', imports('planes/hosting/a.ts', "import { a } from '@tallystick/kernel/laws';"), undefined],
    [
      'an arrow not in the table',
      imports('terminal/a.ts', "import { a } from '@tallystick/engine';"),
      /:1: .*may not import @tallystick\/engine/,
    ],
    [
      'a type-only one',
      imports('planes/hosting/a.ts', "\nimport type { A } from '@tallystick/treasury';"),
      /:2: .*may not import/,
    ],
    ['a dynamic one', imports('terminal/a.ts', "const a = await import('@tallystick/engine');"), /may not import/],
    ['a re-export', imports('terminal/a.ts', "export { a } from '@tallystick/kernel';"), /may not import/],
    ['a side effect', imports('terminal/a.ts', "import '@tallystick/kernel';"), /may not import/],
    [
      'a wide import',
      imports('terminal/a.ts', "import {\n  a,\n  b,\n} from '@tallystick/kernel';"),
      /:4: .*may not import/,
    ],
    ['one in a comment', imports('terminal/a.ts', "// import { a } from '@tallystick/kernel';"), undefined],
    [
      'an undeclared arrow',
      imports('planes/hosting/a.ts', "import { a } from '@tallystick/proto';"),
      /not declared in planes\/hosting/,
    ],
    [
      'a relative way out',
      imports('planes/hosting/a.ts', "import { a } from '../../kernel/a.ts';"),
      /reaches into @tallystick\/kernel/,
    ],
    [
      'a relative way in',
      imports('planes/index.ts', "import { a } from './hosting/index.ts';"),
      /reaches into @tallystick\/hosting/,
    ],
    ['a relative import at home', imports('planes/hosting/x/a.ts', "import { a } from '../b.ts';"), undefined],
    ['its own name', imports('kernel/a.ts', "import { a } from '@tallystick/kernel';"), /its own package by name/],
  ]);
});

describe('manifest rules', () => {
  judge([
    ['manifests within the table', checkManifests(PACKAGES), undefined],
    [
      'an arrow not in the table',
      checkManifests([pack('kernel', '@tallystick/kernel', { '@tallystick/engine': '0.1.0' })]),
      /may not depend/,
    ],
    ['a loose version', checkManifests([pack('kernel', '@tallystick/kernel', { x: '^1.0.0' })]), /pinned to \^1\.0\.0/],
    ['an unknown package', checkManifests([pack('new', '@tallystick/new')]), /does not stand in the import table/],
  ]);
});

describe('lock rules', () => {
  const lock = (version: string) =>
    JSON.stringify({ packages: { kernel: { name: 'k', dependencies: { x: version } } } });
  const packages = [pack('kernel', '@tallystick/kernel', { x: '1.0.0' })];
  judge([
    ['a lock in step', checkLock(lock('1.0.0'), packages), undefined],
    ['another version', checkLock(lock('1.0.1'), packages), /not in step with kernel\/package\.json/],
    ['a package it does not know', checkLock(lock('1.0.0'), [pack('new', '@tallystick/new')]), /not in step with new/],
  ]);
});

describe('purity', () => {
  const pure = (path: string, text: string) => checkPurity([file(path, text)]);
  judge([
    ['a clock', pure('kernel/a.ts', 'const a = Date.now();'), /:1: Date/],
    ['chance', pure('planes/hosting/a.ts', '\nconst a = Math.random();'), /:2: Math\.random/],
    ['the environment', pure('kernel/a.ts', "const a = process.env['A'];"), /process/],
    ['a Node module', pure('kernel/a.ts', "import { a } from 'node:fs';"), /node:fs/],
    ['crypto in its one place', pure('kernel/hashes.ts', "import { a } from 'node:crypto';"), undefined],
    ['crypto elsewhere', pure('kernel/a.ts', "import { a } from 'node:crypto';"), /node:crypto/],
    ['the words in comments and strings', pure('kernel/a.ts', "// Date\nconst a = 'process';"), undefined],
    ['a member of that name', pure('kernel/a.ts', 'const a = b.process; const c = { process: 1 };'), undefined],
    ['a clock in a test', pure('kernel/a.test.ts', 'Date.now()'), undefined],
    ['a clock elsewhere', pure('engine/a.ts', 'Date.now()'), undefined],
  ]);
});

describe('names', () => {
  const exported = (text: string) => checkExportNames([file('kernel/a.ts', text)]);
  judge([
    ['camel case', checkFileNames([file('kernel/runTicket.ts')]), /not kebab-case/],
    [
      'kebab case, papers, dot files',
      checkFileNames([file('a/run-ticket.test.ts'), file('README.md'), file('.ci/run')]),
      undefined,
    ],
    ['a contract in snake case', checkFileNames([file('proto/tallystick/v1/run_ticket.proto')]), undefined],
    ['an empty file name', checkFileNames([file('kernel/string-utils.ts')]), /"utils" names nothing/],
    ['an empty folder name', checkFileNames([file('kernel/common/a.ts')]), /"common" names nothing/],
    ['an empty class name', exported('export class LeaseManager {}'), /"manager" names nothing/],
    ['an empty function name', exported('export async function process() {}'), /"process" names nothing/],
    ['an export of everything', exported("export * from './b.ts';"), /by name/],
    [
      'a name that holds such a word',
      exported('export const processIds = []; export const dataFolder = 1;'),
      undefined,
    ],
  ]);

  it('knows words in every way of writing', () => {
    const names = [
      'jobInfo',
      'JOB_INFO',
      'job-info',
      'JobManagerLike',
      'informed',
      'jobData',
      'process',
      'wardenProcess',
    ];
    assert.deepEqual(names.map(emptyWordIn), [
      'info',
      'info',
      'info',
      'manager',
      undefined,
      'data',
      'process',
      undefined,
    ]);
  });
});

describe('text rules', () => {
  const left = 'FIX' + 'ME';
  const lines = (count: number) => 'a;\n'.repeat(count);
  const test = (text: string) => checkSwitchedOff([file('a.test.ts', text)]);
  const money = (text: string, path = 'kernel/a.ts') => checkFloatMoney([file(path, text)]);
  judge([
    ['a long file', checkSizes([file('a.ts', lines(FILE_LINES_MAX + 1))]), /501 lines/],
    [
      'a catalogue that no file can share',
      checkSizes([file('proto/tallystick/errors/v1/errors.proto', lines(FILE_LINES_MAX + 1))]),
      undefined,
    ],
    ['a file of the greatest size', checkSizes([file('a.ts', lines(FILE_LINES_MAX))]), undefined],
    ['a long generated file', checkSizes([file('proto/gen/a.ts', lines(900))]), undefined],
    ['a file without a head', checkHeads([file('a.ts', 'export const a = 1;')]), /purpose and promise/],
    ['a head after a hash-bang', checkHeads([file('a.ts', '#!/usr/bin/env node\n/** a */\n')]), undefined],
    ['a left-over', checkLeftovers([file('a.ts', `// ${left} later`)]), /a\.ts:1: .*left behind/],
    ['a word that holds it', checkLeftovers([file('a.sh', 'mktemp aXXXXXX')]), undefined],
    ['a skipped test', test(`it.${'skip'}('a', () => {});`), /skip switches a test off/],
    ['an only test', test(`it('a', { ${'only'}: true }, () => {});`), /only switches/],
    ['a skip with a reason', test("it('a', { skip: reason }, () => {});"), undefined],
    ['money as a number', money('interface A { amountMicros: number }'), /amountMicros is money/],
    ['money as an optional number', money('interface A { spendMicrosMax?: number }'), /spendMicrosMax/],
    ['money as bigint', money('interface A { amountMicros: bigint }'), undefined],
    ['a float from text', money('const a = parseFloat(b);'), /into a float/],
    ['a float from money', money('const a = Number(amountMicros);'), /into a float/],
    ['a float in a benchmark', money('const a = Number(amountMicros);', 'bench/a.ts'), undefined],
  ]);
});

describe('traces of one machine', () => {
  const traces = tracesOf('/srv/someone/clone/', 'http://mirror.example:8080/npm/');
  judge([
    ['a path of this clone', checkTraces([file('a.md', 'see /srv/someone/clone/a')], traces), /a\.md: holds/],
    ['its parent folder', checkTraces([file('a.md', 'see /srv/someone/b')], traces), /holds/],
    [
      'the registry in a lock file',
      checkTraces([file('package-lock.json', 'http://mirror.example:8080/x')], traces),
      /holds/,
    ],
    [
      'a public registry',
      checkTraces([file('a.md', ['https://registry', 'npmjs', 'org/x'].join('.'))], traces),
      /holds/,
    ],
    [
      'what every machine has',
      checkTraces([file('a.md', '/usr/bin and /tmp')], tracesOf('/tmp/x', 'http://127.0.0.1/')),
      undefined,
    ],
  ]);
});

describe('papers', () => {
  const invariants = (titles: string) =>
    checkInvariants([file('docs/INVARIANTS.md', '| I-01 | a | b |\n| I-02 | c | d |\n'), file('a.test.ts', titles)]);
  const dependencies = (text: string) =>
    checkDependencies(
      [file('docs/dependencies.md', text)],
      [pack('kernel', '@tallystick/kernel', { x: '1.0.0', '@tallystick/proto': '0.1.0' })],
    );
  const links = (text: string) =>
    checkLinks(
      [file('docs/A.md', text), file('docs/B.md', '# The one, write path!\n')],
      (path) => path === 'docs/B.md' || path === 'docs/A.md',
    );
  judge([
    ['invariants all shown', invariants("it('[I-01] [I-02] x')"), undefined],
    ['an invariant without a test', invariants("it('[I-01] x')"), /no test carries \[I-02\]/],
    ['a test of an unknown one', invariants("it('[I-01] [I-02] [I-09] x')"), /shows I-09/],
    ['a reason for each', dependencies('| `x` | because |'), undefined],
    ['a missing reason', dependencies(''), /x has no line/],
    ['a reason too many', dependencies('| `x` | a |\n| `y` | b |'), /y is not used/],
    ['a reason twice', dependencies('| `x` | a |\n| `x` | b |'), /x has two lines/],
    ['a link that leads somewhere', links('[b](B.md#the-one-write-path), [w](https://a.example)'), undefined],
    ['a dead link', links('\n[b](../C.md)'), /A\.md:2: \.\.\/C\.md leads nowhere/],
    ['a dead anchor', links('[b](B.md#nothing)'), /names no heading/],
    ['a link in code', links('`[a](nothing.md)`\n```\n[a](nothing.md)\n```'), undefined],
    ['a plane without a page', checkPlanePages([], PACKAGES), /planes\/hosting\/README\.md/],
    ['a plane with its page', checkPlanePages([file('planes/hosting/README.md', '# Hosting')], PACKAGES), undefined],
  ]);
});
