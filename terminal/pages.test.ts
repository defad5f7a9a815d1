/** Command lines that pages and help texts show: each names a command that exists, and only options that it has. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { processIo } from './io.ts';
import { createProgram } from './program.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGES = [
  'README.md',
  'terminal/README.md',
  'sandbox-agent/README.md',
  ...globSync('docs/guides/*.md', { cwd: ROOT }),
];
const program = createProgram({ io: processIo(), exitCode: 0, isJson: false });

/** Lines of a page's code blocks, and of its inline code, that are a command line of `tally`. */
function linesOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const blocks = [...text.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].flatMap((match) => match[1]!.split('\n'));
  const inline = [...text.replace(/^```.*?^```$/gms, '').matchAll(/`(tally [^`]+)`/g)].map((match) => match[1]!);
  return [...blocks, ...inline].filter((line) => /^(?:npx )?tally [a-z]/.test(line));
}

/** The command that a line means, and its words up to what runs inside, what is piped on and what explains. */
function meant(line: string): { command: Command; words: string[] } {
  const [own = ''] = line.replace(/^npx /, '').split(/ {2,}| -- | \| | && |[ \t]#/);
  const words = own.split(/\s+/).slice(1);
  let command = program;
  for (const word of words) {
    const below = command.commands.find((candidate) => candidate.name() === word);
    if (!below) break;
    command = below;
  }
  return { command, words };
}

function problemOf(line: string): string | undefined {
  const { command, words } = meant(line);
  if (command === program) return 'there is no such command';
  if (command.commands.length > 0 && command.registeredArguments.length === 0 && !/[…|]/.test(words.at(-1) ?? ''))
    return 'a command of a group is missing';
  const known = new Set(command.options.flatMap(({ long, short }) => [long, short]));
  const unknown = words.filter(
    (word) => /^--?[a-z]/.test(word) && !known.has(word.split('=')[0]!) && word !== '--help',
  );
  return unknown.length > 0 ? `it has no ${unknown.join(', ')}` : undefined;
}

for (const page of PAGES)
  test(`${page} shows command lines that can be typed`, () => {
    for (const line of linesOf(page)) assert.equal(problemOf(line), undefined, line);
  });

test('the help of every command shows command lines that can be typed', () => {
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  for (const command of all(program)) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    for (const line of help.split('\n').map((text) => text.trim()))
      if (/^tally [a-z]/.test(line)) assert.equal(problemOf(line), undefined, line);
  }
});

test('a command line that is wrong would be found', () => {
  for (const line of ['tally jobs create', 'tally job create --bugdet 1', 'npx tally sandbox make', 'tally job'])
    assert.ok(problemOf(line), line);
});
