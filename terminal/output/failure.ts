/**
 * What went wrong, in words, and with which exit code.
 * Promise: code, sentence, facts and what to do next, on standard error; no stack and no secret.
 */
import { ApiError, IntentsFault, UnreachableError } from '@tallystick/sdk';
import { EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE } from '../exit-code.ts';
import { type Io, write } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { KeystoreError } from '../wallet/keystore.ts';
import { LooseFileError } from '../wallet/private-files.ts';
import { coloursFor } from './out.ts';
import { cellText, type PlainObject, printable } from './render.ts';

/** The parts of a failure. */
export interface Failure {
  exitCode: number;
  code: string;
  sentence: string;
  facts: PlainObject;
  violations: { pointer: string; detail: string }[];
  suggestion: string;
}

const NOT_FACTS: ReadonlySet<string> = new Set([
  'type',
  'title',
  'status',
  'code',
  'detail',
  'suggestion',
  'errors',
  'instance',
]);

/** @errors throws what is no failure of the world but a bug of ours */
export function failureOf(fault: unknown): Failure {
  if (fault instanceof ApiError) return failureOfProblem(fault);
  if (fault instanceof UnreachableError) {
    const suggestion = 'Is the platform running? See `tally doctor`. A repeat with the same --key is safe.';
    return failure(EXIT_UNREACHABLE, 'unreachable', fault.message, suggestion);
  }
  if (fault instanceof UsageError) return failure(EXIT_USAGE, 'usage', fault.message, fault.suggestion);
  if (fault instanceof LooseFileError) return failure(EXIT_USAGE, fault.code, fault.message, fault.suggestion);
  if (fault instanceof IntentsFault)
    return failure(EXIT_USAGE, fault.code, fault.message, 'Nothing is paid before the folder of payments is in order.');
  if (fault instanceof KeystoreError)
    return failure(EXIT_USAGE, fault.code, fault.message, 'Check the passphrase and the file.');
  const system = systemFailureOf(fault);
  if (system) return system;
  throw fault;
}

const failure = (exitCode: number, code: string, sentence: string, suggestion: string): Failure => ({
  exitCode,
  code,
  sentence,
  facts: {},
  violations: [],
  suggestion,
});

function failureOfProblem({ status, code, problem }: ApiError): Failure {
  const body: PlainObject = problem;
  return {
    exitCode: status === 503 || status === 429 ? EXIT_UNREACHABLE : EXIT_REFUSED,
    code,
    sentence: problem.title,
    facts: Object.fromEntries(Object.entries(body).filter(([name, value]) => !NOT_FACTS.has(name) && value !== '')),
    violations: (problem['errors'] ?? []) as unknown as Failure['violations'],
    suggestion: problem.suggestion ?? '',
  };
}

/** A file that is missing, forbidden or full is the caller's to mend. */
function systemFailureOf(fault: unknown): Failure | undefined {
  if (!(fault instanceof Error) || !('syscall' in fault) || typeof (fault as NodeJS.ErrnoException).code !== 'string')
    return undefined;
  return failure(
    EXIT_USAGE,
    (fault as NodeJS.ErrnoException).code!.toLowerCase(),
    fault.message,
    'Check the path and its permissions.',
  );
}

/** Writes it to standard error: words for people, one JSON value with --json. */
export function tellFailure(io: Io, isJson: boolean, told: Failure): Promise<void> {
  if (isJson) {
    const { exitCode: _, ...error } = told;
    return write(io.stderr, `${JSON.stringify({ error })}\n`);
  }
  return write(io.stderr, `${failureText(io, told)}\n`);
}

function failureText(io: Io, { code, sentence, facts, violations, suggestion }: Failure): string {
  const colours = coloursFor(io, io.stderr);
  const lines = [`${colours.red(colours.bold(code))}: ${printable(sentence)}`];
  for (const [name, value] of Object.entries(facts)) lines.push(`  ${colours.dim(name)} ${cellText(name, value)}`);
  for (const { pointer, detail } of violations) lines.push(`  ${pointer || '/'} ${printable(detail)}`);
  if (suggestion) lines.push(printable(suggestion));
  return lines.join('\n');
}
