/**
 * The linter's settings against planted violations: the rules of the house that need a real parser.
 * Promise: a setting that has gone blind, by an upgrade or a slip, fails here.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

const ROOT = dirname(import.meta.dirname);

const longFunction = (lines: number): string => `export function a(b) {\n${'  b();\n'.repeat(lines)}}\n`;

interface Row {
  title: string;
  path: string;
  text: string;
  /** Undefined: the linter must be silent. */
  rule?: string;
}

const CLOCK = 'export const a = () => Date.now();\n';
const FOREIGN = "import { a } from 'fastify';\nexport const b = a;\n";
const ROWS: Row[] = [
  {
    title: 'a function of more than 60 lines',
    path: 'tools/long.ts',
    text: longFunction(70),
    rule: 'noExcessiveLinesPerFunction',
  },
  { title: 'a function of 50 lines', path: 'tools/short.ts', text: longFunction(50) },
  { title: 'a long function in a test', path: 'tools/long.test.ts', text: longFunction(70) },
  { title: 'a clock in the kernel', path: 'kernel/clock.ts', text: CLOCK, rule: 'noRestrictedGlobals' },
  { title: 'a clock in a plane', path: 'planes/hosting/clock.ts', text: CLOCK, rule: 'noRestrictedGlobals' },
  { title: 'a clock elsewhere', path: 'tools/clock.ts', text: CLOCK },
  { title: 'a default export', path: 'tools/default.ts', text: 'export default 1;\n', rule: 'noDefaultExport' },
  { title: 'an undeclared package', path: 'kernel/foreign.ts', text: FOREIGN, rule: 'noUndeclaredDependencies' },
  { title: 'an unused variable', path: 'tools/unused.ts', text: 'const a = 1;\n', rule: 'noUnusedVariables' },
  {
    title: 'a name in camel case',
    path: 'tools/camelCase.ts',
    text: 'export const a = 1;\n',
    rule: 'useFilenamingConvention',
  },
  { title: 'one half of a cycle', path: 'tools/half.ts', text: "import './other.ts';\n", rule: 'noImportCycles' },
  { title: 'the other half', path: 'tools/other.ts', text: "import './half.ts';\n", rule: 'noImportCycles' },
  {
    title: 'the greater of two bigints by hand',
    path: 'tools/max.ts',
    text: 'export const a = (b: bigint, c: bigint) => (b > c ? b : c);\n',
  },
];

interface Diagnostic {
  category: string;
  location: { path: string | { file: string } };
}

describe('the linter', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tally-lint-'));
  let diagnostics: Diagnostic[] = [];

  before(() => {
    copyFileSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'));
    for (const owner of ['kernel', 'planes/hosting', 'tools']) {
      mkdirSync(join(folder, owner), { recursive: true });
      writeFileSync(join(folder, owner, 'package.json'), '{"name":"planted"}\n');
    }
    for (const { path, text } of ROWS) writeFileSync(join(folder, path), text);
    const biome = join(ROOT, 'node_modules', '.bin', 'biome');
    const args = ['lint', '--reporter=json', '--max-diagnostics=100', '--vcs-enabled=false'];
    const ran = spawnSync(biome, args, { cwd: folder, encoding: 'utf8' });
    diagnostics = (JSON.parse(ran.stdout) as { diagnostics: Diagnostic[] }).diagnostics;
  });
  after(() => rmSync(folder, { recursive: true }));

  const rulesTold = (path: string): string[] =>
    diagnostics
      .filter(({ location }) => (typeof location.path === 'string' ? location.path : location.path.file).endsWith(path))
      .map(({ category }) => category.split('/').at(-1) ?? '');

  for (const { title, path, rule } of ROWS)
    it(`${rule ? 'tells' : 'lets pass'} ${title}`, () => {
      if (rule) assert.ok(rulesTold(path).includes(rule), `${dirname(path)}: ${rulesTold(path)}`);
      else assert.deepEqual(rulesTold(path), []);
    });
});
