// Where a passphrase comes from when nobody types it: real files and real commands.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Io } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { readPassphrase } from './passphrase.ts';

const folder = mkdtempSync(join(tmpdir(), 'tally-passphrase-'));
writeFileSync(join(folder, 'pass'), 'of a file\n', { mode: 0o600 });
after(() => rmSync(folder, { recursive: true }));

const read = (env: Record<string, string>, file?: string): Promise<string> =>
  readPassphrase({ env, folder, stdin: { isTTY: false } } as unknown as Io, file, false);

const COMMAND = { TALLY_PASSPHRASE_COMMAND: "printf 'of a keychain\\nand its notes'" };

const FOUND: [what: string, env: Record<string, string>, file: string | undefined, passphrase: string][] = [
  ['the first line that a keychain’s command prints', COMMAND, undefined, 'of a keychain'],
  ['a file that is named, before the command', { ...COMMAND, TALLY_PASSPHRASE_FILE: 'pass' }, undefined, 'of a file'],
  [
    'the environment, before both',
    { ...COMMAND, TALLY_PASSPHRASE: 'of the environment' },
    undefined,
    'of the environment',
  ],
  ['the option, before all', { ...COMMAND, TALLY_PASSPHRASE: 'x' }, 'pass', 'of a file'],
];

for (const [what, env, file, passphrase] of FOUND)
  test(`a passphrase is taken from ${what}`, async () => assert.equal(await read(env, file), passphrase));

const REFUSED: [what: string, command: string, says: RegExp][] = [
  ['fails', 'exit 3', /TALLY_PASSPHRASE_COMMAND ended with 3/],
  ['is not there', 'no-such-keychain 2>/dev/null', /ended with 127/],
  ['prints nothing', 'true', /printed nothing/],
  ['prints without end', 'yes 2>/dev/null', /ended with SIG/],
];

for (const [what, command, says] of REFUSED)
  test(`a keychain’s command that ${what} is told`, () =>
    assert.rejects(
      read({ TALLY_PASSPHRASE_COMMAND: command }),
      (fault) => fault instanceof UsageError && says.test(fault.message),
    ));
