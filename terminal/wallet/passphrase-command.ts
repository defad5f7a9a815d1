/**
 * A passphrase out of a keychain: whatever command the keychain brings to read it with.
 * Promise: what the command prints is neither shown nor kept; one that fails, says nothing or does not end is an error that names it.
 */
import { spawn } from 'node:child_process';
import { UsageError } from '../text/usage-error.ts';

/** A person may have to unlock the keychain meanwhile. */
const COMMAND_MS_MAX = 120_000;
const PASSPHRASE_CHARS_MAX = 4_096;

/**
 * The first line of what `command` prints, run by the shell. What it has to say goes to the terminal.
 * @errors UsageError
 */
export async function passphraseFrom(command: string, folder: string): Promise<string> {
  const child = spawn(command, {
    shell: true,
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = (): void => {
    child.kill('SIGKILL');
    child.stdout.destroy(); // whatever the shell has started notices that nobody reads
  };
  const patience = setTimeout(stop, COMMAND_MS_MAX);
  const { promise, resolve, reject } = Promise.withResolvers<number | string>();
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.length > PASSPHRASE_CHARS_MAX) stop();
  });
  child.once('error', reject).once('close', (code, signal) => resolve(code ?? String(signal)));
  const end = await promise.finally(() => clearTimeout(patience));
  const [line = ''] = said.split(/\r?\n/, 1);
  if (end === 0 && line !== '') return line;
  const why = end === 0 ? 'printed nothing' : `ended with ${end}`;
  throw new UsageError(
    `TALLY_PASSPHRASE_COMMAND ${why}.`,
    `It must print the passphrase within ${COMMAND_MS_MAX / 1_000} s, at most ${PASSPHRASE_CHARS_MAX} characters: secret-tool lookup app tally, or security find-generic-password -w -s tally.`,
  );
}
