/** What `--help` says: every group what it is for, and an option only where it means something. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Command } from 'commander';
import { processIo } from './io.ts';
import { createProgram } from './program.ts';

const below = (command: Command): Command[] => [command, ...command.commands.flatMap(below)];
const program = createProgram({ io: processIo(), exitCode: 0, isJson: false });
const wayOf = (command: Command): string =>
  command.parent?.parent ? `${wayOf(command.parent)} ${command.name()}` : command.name();
const all = below(program)
  .slice(1)
  .filter((command) => command.name() !== 'help');
const withOption = (name: string): string[] =>
  all.filter((command) => command.options.some(({ long }) => long === name)).map(wayOf);

test('every command and every group of them says what it is for', () => {
  const silent = all.filter((command) => command.description() === '').map(wayOf);
  assert.deepEqual(silent, []);
});

test('a payment can be wished for only where one may be asked', () => {
  assert.deepEqual(withOption('--pay').toSorted(), ['exec', 'job create', 'sandbox create', 'shell', 'top-up']);
  assert.deepEqual(withOption('--max-pay'), withOption('--pay'));
});

test('an option that cannot be left out says so', () => {
  const required = all.flatMap((command) => command.options.filter(({ mandatory }) => mandatory));
  const quiet = required.filter(({ description }) => !description.includes('required'));
  assert.deepEqual([...new Set(quiet.map(({ flags }) => flags))], []);
});
