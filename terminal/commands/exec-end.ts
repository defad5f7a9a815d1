/**
 * What every way to run a command shares: its environment as it is written, and its end as an exit code.
 * Promise: when the paid time ends a command, the sandbox's own reason is told.
 */
import { constants } from 'node:os';
import { type ExecEnd, type ExecOutcome, plain, type Sandbox, SandboxSchema } from '@tallystick/sdk';
import {
  EXIT_EXEC_NOT_RUN,
  EXIT_EXEC_NOT_STARTED,
  EXIT_EXEC_SANDBOX_ENDED,
  EXIT_EXEC_SIGNAL,
  EXIT_EXEC_TIMEOUT,
  EXIT_REFUSED,
} from '../exit-code.ts';
import { type Io, write } from '../io.ts';
import { printable } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';

/** @errors UsageError naming the pair */
export function readEnvironment(pairs: string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new UsageError(`${JSON.stringify(pair)} is no NAME=VALUE.`, 'Write --env NAME=VALUE.');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** A sandbox that is stopped at once kills its commands, as a signal does. */
const MAY_BE_THE_SANDBOXS: ReadonlySet<ExecEnd> = new Set(['lease_ended', 'sandbox_lost', 'killed']);

/** What was to run, as far as who tells its end knows it. */
export interface Wanted {
  program: string;
  cwd?: string | undefined;
}

/** Explains anything but an exit by itself, and says whether the sandbox ended under the command. */
export async function tellEnd(io: Io, sandbox: Sandbox, outcome: ExecOutcome, wanted: Wanted): Promise<boolean> {
  const { end, signal } = outcome;
  if (end === 'exited') return false;
  const reason = MAY_BE_THE_SANDBOXS.has(end) ? await reasonOf(sandbox) : '';
  const because = reason || signal || whyNotStarted(outcome, wanted);
  await write(io.stderr, `tally: the command ended: ${end}${because ? ` (${because})` : ''}\n`);
  return reason !== '';
}

/** Nothing, or nothing that leads there; empty: an older platform, which does not say. */
const NOT_THERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', '']);

/** Empty where it is not known. */
function whyNotStarted({ startError }: ExecOutcome, { program, cwd }: Wanted): string {
  if (startError === undefined) return '';
  if (startError === 'EACCES') return printable(`may not be run: ${program}`);
  if (startError === 'ENOEXEC') return printable(`no program that can be run, a script begins with #!: ${program}`);
  if (startError === 'E2BIG') return 'its arguments and environment are too long';
  if (!NOT_THERE.has(startError)) return printable(`${startError}: ${program}`);
  return printable(`no such program: ${program}${cwd === undefined ? '' : `, or no such folder: ${cwd}`}`);
}

/**
 * Why the sandbox runs no more and until when it was paid; empty while it runs. A platform that is gone takes nothing away
 * from the command's end itself.
 */
async function reasonOf(sandbox: Sandbox): Promise<string> {
  try {
    const { status, stop_reason, paid_until } = plain(SandboxSchema, await sandbox.refresh());
    if (status === 'running') return '';
    return `sandbox ${status}: ${stop_reason}${paid_until ? `, paid until ${paid_until}` : ''}`;
  } catch {
    return '';
  }
}

/** @see EXEC_EXIT_CODES_HELP */
export function exitCodeOf({ end, exitCode, signal, startError = '' }: ExecOutcome): number {
  switch (end) {
    case 'exited':
      return exitCode ?? EXIT_REFUSED;
    case 'not_started':
      return NOT_THERE.has(startError) ? EXIT_EXEC_NOT_STARTED : EXIT_EXEC_NOT_RUN;
    case 'timeout':
      return EXIT_EXEC_TIMEOUT;
    case 'lease_ended':
    case 'sandbox_lost':
      return EXIT_EXEC_SANDBOX_ENDED;
    case 'oom':
    case 'killed':
      return EXIT_EXEC_SIGNAL + constants.signals.SIGKILL;
    case 'signaled':
      return EXIT_EXEC_SIGNAL + (constants.signals[signal as NodeJS.Signals] ?? 0);
    default:
      return EXIT_REFUSED;
  }
}
