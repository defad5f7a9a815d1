/**
 * Offline verification of an export: from the bytes to the verdict, in one pass.
 * Promise: needs the file and nothing else; holds states and balances, never the file; says line, position, stream and what.
 */
import { createReadStream } from 'node:fs';
import {
  createExportDigest,
  type ExportDigest,
  type ExportEnd,
  type ExportHeader,
  type Rules,
} from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { type ContentCheck, createContentCheck } from './content.ts';
import { type OpenedHeader, openHeader } from './header.ts';
import { type Line, readLines } from './lines.ts';
import { type Place, type ProblemList, problemList, type VerifyReport } from './report.ts';
import { type ExportLine, readExportLine } from './shapes.ts';

const CHUNK_BYTES = 1024 * 1024;
const PROGRESS_EVERY_LINES = 1000;

export interface VerifyOptions {
  /** C2SP verifier key of the log, known by other means than the export. Without it an export only proves that it fits itself. */
  expectedLogVerifier?: string | undefined;
  /** The rules to decide again with; the product's own by default. */
  rules?: Rules;
  /** Called about every thousand lines. */
  onProgress?(progress: { lines: number; bytes: number }): void;
}

interface Run {
  options: VerifyOptions;
  rules: Rules;
  problems: ProblemList;
  digest: ExportDigest;
  opened: OpenedHeader | undefined;
  content: ContentCheck | undefined;
  ended: boolean;
  lines: number;
  bytes: number;
}

/**
 * Verifies the export in a file.
 * @errors rejects only when the file cannot be read; everything wrong with its content stands in the report
 * @example const report = await verifyExport('receipts.jsonl', { expectedLogVerifier: 'tally.example+1a2b3c4d+AQ…' });
 */
export const verifyExport = (path: string, options: VerifyOptions = {}): Promise<VerifyReport> =>
  verifyChunks(createReadStream(path, { highWaterMark: CHUNK_BYTES }), options);

/** Verifies the export in a stream of bytes. */
export async function verifyChunks(
  chunks: AsyncIterable<Uint8Array>,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const run: Run = {
    options,
    rules: options.rules ?? RULES,
    problems: problemList(),
    digest: createExportDigest(),
    opened: undefined,
    content: undefined,
    ended: false,
    lines: 0,
    bytes: 0,
  };
  for await (const line of readLines(chunks)) {
    run.lines = line.number;
    run.bytes += line.bytes.length;
    checkLine(run, line);
    if (!run.opened) return reportOf(run);
    if (line.number % PROGRESS_EVERY_LINES === 0) options.onProgress?.({ lines: run.lines, bytes: run.bytes });
  }
  if (run.lines === 0) run.problems.add({ line: 1 }, 'the file is empty');
  else if (!run.ended) run.problems.add({ line: run.lines + 1 }, 'the end line is missing: the export is cut');
  return reportOf(run);
}

function checkLine(run: Run, line: Line): void {
  const place = { line: line.number };
  if (run.ended) {
    run.problems.add(place, 'something follows the end line');
    return;
  }
  const read = readLine(run, line);
  if (read?.kind !== 'end') run.digest.add(line.bytes);
  switch (read?.kind) {
    case 'header':
      checkHeader(run, read.header);
      break;
    case 'receipt':
      run.content?.receipt(place, read.receipt);
      break;
    case 'ticket':
      run.content?.ticket(place, read.ticket.ticket);
      break;
    case 'end':
      checkEnd(run, place, read.end);
      break;
    default:
      run.content?.unread(place);
  }
}

function readLine(run: Run, { number, bytes, state }: Line): ExportLine | undefined {
  const say = (what: string): void => run.problems.add({ line: number }, what);
  if (state === 'cut') say('the line has no end');
  if (state === 'long') say('the line is too long; nothing from here on was read');
  if (state !== 'whole') return undefined;
  try {
    const read = readExportLine(textOf(bytes.subarray(0, -1)));
    if ((read.kind === 'header') === (number === 1)) return read;
    say(number === 1 ? `a ${read.kind} line stands where the header must` : 'a second header');
  } catch (error) {
    say((error as Error).message);
  }
  return undefined;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new SyntaxError('the bytes are not UTF-8');
  }
}

function checkHeader(run: Run, header: ExportHeader): void {
  const expectations = { expectedLogVerifier: run.options.expectedLogVerifier, policy: run.rules.policy };
  run.opened = openHeader(header, expectations, (what) => run.problems.add({ line: 1 }, what));
  run.content = createContentCheck(run.opened, run.rules, run.problems);
}

/** The content's own verdict comes before the digest's: it knows the line. */
function checkEnd(run: Run, place: Place, end: ExportEnd): void {
  run.ended = true;
  const { receipts, tickets } = run.content?.counts() ?? { receipts: 0, tickets: 0 };
  const say = (what: string): void => run.problems.add(place, what);
  run.content?.finish(place);
  const expected: ExportEnd = JSON.parse(run.digest.endLine({ receipts, tickets }));
  if (run.content && end.receipts !== receipts) say(`the end says ${end.receipts} receipts, there are ${receipts}`);
  if (run.content && end.tickets !== tickets) say(`the end says ${end.tickets} tickets, there are ${tickets}`);
  const hasHeader = end.header_sha256 === expected.header_sha256;
  if (end.sha256 === expected.sha256) {
    if (!hasHeader) say('header_sha256 is not that of the header');
    return;
  }
  if (!hasHeader) run.problems.add({ line: 1 }, 'the header differs from the one that was written');
  say(`the bytes before differ from those that were written: sha256 ${expected.sha256}, the end says ${end.sha256}`);
}

function reportOf({ content, opened, problems }: Run): VerifyReport {
  const counts = content?.counts() ?? { receipts: 0, redecided: 0, tickets: 0, streams: 0 };
  return {
    ok: problems.total === 0,
    is_export: opened !== undefined,
    ...counts,
    checkpoint: { origin: opened?.header.origin ?? '', size: opened?.checkpoint?.size ?? 0 },
    log_verifier: opened?.header.log_verifier ?? '',
    pinned: opened?.pinned ?? false,
    owner: opened?.header.owner ?? null,
    trial_balance: content?.trialBalance() ?? [],
    problems: [...problems.kept].sort((a, b) => a.line - b.line),
    problems_total: problems.total,
  };
}
