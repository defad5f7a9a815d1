/**
 * A command line that does not say what to do.
 * Promise: names what was written, and what would be right.
 */

/** Ends the command with the exit code for usage. */
export class UsageError extends Error {
  readonly suggestion: string;

  constructor(sentence: string, suggestion: string) {
    super(sentence);
    this.name = 'UsageError';
    this.suggestion = suggestion;
  }
}
