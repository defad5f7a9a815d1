/**
 * What the exit code of `tally` says.
 * Promise: a script can tell apart what to fix, what to wait for and what to repeat.
 */
export const EXIT_OK = 0;
/** The platform, a rule or a check said no. */
export const EXIT_REFUSED = 1;
/** The command line, a local file or a passphrase is wrong. */
export const EXIT_USAGE = 2;
/** The platform cannot be reached or does not answer; the outcome may be unknown. */
export const EXIT_UNREACHABLE = 3;
/** `tally exec`: the command's timeout ended it (as timeout(1) says). */
export const EXIT_EXEC_TIMEOUT = 124;
/** `tally exec`: the sandbox ended under the command: its paid time is over, or it was lost. */
export const EXIT_EXEC_SANDBOX_ENDED = 125;
/** `tally exec`: there is such a program in the sandbox, and it cannot be run (as a shell says). */
export const EXIT_EXEC_NOT_RUN = 126;
/** `tally exec`: there is no such program in the sandbox (as a shell says). */
export const EXIT_EXEC_NOT_STARTED = 127;
/** `tally exec`: the command ended by a signal; the signal's number is added. */
export const EXIT_EXEC_SIGNAL = 128;

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  refused by the platform, or a check failed
  2  wrong usage, file or passphrase
  3  the platform cannot be reached`;

export const EXEC_EXIT_CODES_HELP = `
Exit codes:
  the command's own, when it ended by itself
  124    ended by --timeout
  125    its sandbox ended under it (paid time over, or lost); the reason stands on stderr
  126    it could not be started: it may not be run
  127    it could not be started: no such program
  128+N  ended by signal N (137: killed, or out of memory)
  1 2 3  as everywhere, when it did not start; --json tells them apart for sure`;
