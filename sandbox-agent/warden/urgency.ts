/**
 * Puts the thread that freezes before everything else on the machine.
 * Promise: what it starts gets ordinary priority again; where real-time scheduling is not allowed, a high priority remains.
 */
import { execFileSync } from 'node:child_process';
import { setPriority } from 'node:os';

/** The least of real time already goes before every ordinary thread; the kernel keeps a share of each core for those. */
const REAL_TIME = ['--reset-on-fork', '--rr', '--pid', '1'];
const PROGRAM_PATH = '/usr/bin:/bin';

/** `niceness` is for where real time is refused: -20 first, 19 last. @errors throws when even that may not be set. */
export function becomeUrgent(niceness: number): void {
  setPriority(niceness);
  try {
    execFileSync('chrt', [...REAL_TIME, String(process.pid)], { stdio: 'ignore', env: { PATH: PROGRAM_PATH } });
  } catch {
    // In a container without real-time rights, or without chrt, the high priority has to do.
  }
}
