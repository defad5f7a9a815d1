/**
 * The test reporter of a group's process: every finished test as one JSON line on file descriptor 3.
 * Promise: what the tests print stays apart from what the runner reads.
 */
import { writeSync } from 'node:fs';
import type { TestEvent } from 'node:test/reporters';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

const REPORT_FD = 3;
const CAUSE_DEPTH_MAX = 8;
/** What no test may leave open, in Node's words: child processes and listeners. */
const LEFT_OPEN = /^ProcessWrap$|ServerWrap$/;
/** How long what the last test closed may take to be gone. */
const CLOSING_MS_MAX = 2_000;
const CLOSING_LOOK_MS = 20;
/** Frames of Node itself say nothing about a test. */
const NODE_FRAME = /^\s+at .*\(?node:/;

/** One finished test or suite, or the end of the run. */
export type Report =
  | {
      kind: 'test';
      outcome: 'passed' | 'failed' | 'skipped';
      /** The titles from the outermost suite to the test. */
      title: string;
      file: string;
      durationMs: number;
      isSuite: boolean;
      /** Why it failed, or why it was skipped; empty when a skip gives no reason. */
      detail: string;
    }
  | {
      kind: 'end';
      /** Programs and servers that the tests started and did not stop, as Node calls them. */
      left: string[];
    };

interface Finished {
  name: string;
  nesting: number;
  file?: string;
  skip?: string | boolean;
  todo?: string | boolean;
  details: { duration_ms: number; type?: string | undefined; error?: Error & { failureType?: string } };
}

/** An assertion has said all in its message; any other error is shown with its fields and causes. */
function textOf(error: unknown): string {
  const isAssertion = error instanceof Error && 'code' in error && error.code === 'ERR_ASSERTION';
  const text = isAssertion ? (error.stack ?? error.message) : inspect(error, { depth: CAUSE_DEPTH_MAX });
  const lines = text.split('\n').filter((line) => !NODE_FRAME.test(line));
  return lines.join('\n').replaceAll('file://', '');
}

function detailOf(finished: Finished): string {
  if (finished.skip !== undefined) return typeof finished.skip === 'string' ? finished.skip : '';
  const error = finished.details.error;
  return error ? textOf(error.cause ?? error) : '';
}

function outcomeOf(type: string, finished: Finished): 'passed' | 'failed' | 'skipped' {
  if (type === 'test:fail') return 'failed';
  return finished.skip !== undefined || finished.todo !== undefined ? 'skipped' : 'passed';
}

/** A suite fails when a test in it fails; that is the same failure told twice. */
function isEcho(finished: Finished): boolean {
  return finished.details.error?.failureType === 'subtestsFailed';
}

const send = (report: Report): void => void writeSync(REPORT_FD, `${JSON.stringify(report)}\n`);

/** A file that registers no test is told by node:test as one passing test named by its path. */
function isEmptyFile(finished: Finished): boolean {
  return finished.nesting === 0 && finished.name.endsWith('.test.ts') && (finished.file ?? '').endsWith(finished.name);
}

function reportOf(type: string, finished: Finished, titles: string[]): Report {
  const told = { kind: 'test', title: titles.join(' > '), file: finished.file ?? '' } as const;
  const measured = { durationMs: finished.details.duration_ms, isSuite: finished.details.type === 'suite' };
  if (type === 'test:pass' && isEmptyFile(finished))
    return { ...told, ...measured, outcome: 'failed', detail: 'no test found in this file' };
  return { ...told, ...measured, outcome: outcomeOf(type, finished), detail: detailOf(finished) };
}

/** What went wrong outside every test: node:test only mentions it, we count it. */
function reportOfStray(message: string): Report {
  const title = 'something failed after its test had ended';
  return { kind: 'test', outcome: 'failed', title, file: '', durationMs: 0, isSuite: false, detail: message };
}

/** What the last test closed may still be on its way out: only what stays counts. */
async function leftOpen(): Promise<string[]> {
  const giveUpAtMs = performance.now() + CLOSING_MS_MAX;
  for (;;) {
    const left = process.getActiveResourcesInfo().filter((name) => LEFT_OPEN.test(name));
    if (left.length === 0 || performance.now() > giveUpAtMs) return left;
    await sleep(CLOSING_LOOK_MS);
  }
}

/** Called by node:test with the stream of its events; yields nothing, so that stdout belongs to the tests. */
async function* reportToRunner(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const open: string[] = [];
  for await (const event of source) {
    if (event.type === 'test:start') open[event.data.nesting] = event.data.name;
    if (event.type === 'test:diagnostic' && event.data.message.startsWith('Error:'))
      send(reportOfStray(event.data.message));
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const finished = event.data as Finished;
    if (isEcho(finished)) continue;
    send(reportOf(event.type, finished, [...open.slice(0, finished.nesting), finished.name]));
  }
  send({ kind: 'end', left: await leftOpen() });
  yield '';
}

// biome-ignore lint/style/noDefaultExport: node:test loads a reporter by its default export
export default reportToRunner;
