/**
 * One thing that is tried.
 * Promise: a probe never throws; what it could not try is `open`, not `good`.
 */
import { execFile } from 'node:child_process';

export interface Outcome {
  /** `open`: could not be tried here, or does not matter yet. */
  state: 'good' | 'bad' | 'open';
  what: string;
  /** What to do about it. */
  advice: string;
}

export interface Finding extends Outcome {
  [member: string]: string;
  name: string;
}

export interface Probe {
  name: string;
  attempt(): Promise<Outcome>;
}

export const good = (what: string): Outcome => ({ state: 'good', what, advice: '' });
export const bad = (what: string, advice: string): Outcome => ({ state: 'bad', what, advice });
export const open = (what: string, advice = ''): Outcome => ({ state: 'open', what, advice });

/** Where the folder of data that was looked at is that of no running platform. */
export const ELSEWHERE_ADVICE = 'Started by: npm start. One whose data is elsewhere: tally doctor --data DIR';

/** Turns a throw into a finding. */
export const probe = (name: string, advice: string, attempt: () => Promise<Outcome>): Probe => ({
  name,
  attempt: () => attempt().catch((fault: Error) => bad(fault.message.split('\n')[0] ?? fault.name, advice)),
});

const COMMAND_MS_MAX = 10_000;

/** Where the warden looks for programs, whatever the PATH of whoever asks. */
export const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const CALLER_PATH = `${process.env['PATH'] ?? ''}:${SYSTEM_PATH}`;

/** Runs a program to its end; undefined when it succeeded, else its complaint. */
export function complaintOf(program: string, argv: string[], path = CALLER_PATH): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(
      program,
      argv,
      { timeout: COMMAND_MS_MAX, env: { ...process.env, PATH: path } },
      (fault, _stdout, stderr) => {
        if (!fault) resolve(undefined);
        else
          resolve(
            (fault as NodeJS.ErrnoException).code === 'ENOENT'
              ? `${program} is not installed`
              : stderr.trim().split('\n')[0] || fault.message,
          );
      },
    );
  });
}
