/**
 * The benchmark runner's own rules: what counts as a benchmark, an option and a figure.
 * Promise: no figure that is not a number reaches a file.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkFigures, listBenches, readArguments } from './run.ts';

describe('the benchmark runner', () => {
  it('lists benchmarks, not itself and not tests', () => {
    const names = listBenches();
    assert.ok(!names.includes('run'));
    assert.ok(names.every((name) => /^[a-z][a-z0-9-]*$/.test(name)));
  });

  const rows: [string, string[], ReturnType<typeof readArguments>][] = [
    ['nothing', [], { name: undefined, json: undefined, options: {} }],
    ['a name', ['ledger'], { name: 'ledger', json: undefined, options: {} }],
    ['a file for the figures', ['ledger', '--json', 'a.json'], { name: 'ledger', json: 'a.json', options: {} }],
    [
      'options before the name',
      ['--json=a.json', '--records', '10', 'engine'],
      { name: 'engine', json: 'a.json', options: { records: '10' } },
    ],
    ['a switch', ['engine', '--quick'], { name: 'engine', json: undefined, options: { quick: 'true' } }],
  ];
  for (const [title, argv, expected] of rows)
    it(`reads ${title}`, () => {
      assert.deepEqual(readArguments(argv), expected);
    });

  it('refuses a figure that is not a finite number, by name', () => {
    for (const figure of [Number.NaN, Number.POSITIVE_INFINITY])
      assert.throws(() => checkFigures({ name: 'a', figures: { per_s: figure }, table: [] }), /figure per_s of a is/);
  });
});
