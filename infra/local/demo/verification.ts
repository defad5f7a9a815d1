/**
 * Runs `tally verify` as a stranger would: another process that has the file and nothing else.
 * Promise: also shows that it can fail, on a copy with one flipped byte.
 */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const TERMINAL = join(import.meta.dirname, '..', '..', '..', 'terminal', 'main.ts');
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface Report {
  ok: boolean;
  receipts: number;
  tickets: number;
  problems: { line?: number; pos?: number; stream?: string; what: string }[];
}

export interface Verification {
  report: Report;
  /** The copy with a flipped byte. */
  tampered: { ok: boolean; where: string; says: string };
}

export async function verifyExport(path: string): Promise<Verification> {
  const report = await runVerify(path);
  const copy = `${path}.tampered`;
  const where = flipOneByte(path, copy);
  const broken = await runVerify(copy);
  rmSync(copy);
  const [first] = broken.problems;
  const place = first ? [`line ${first.line}`, first.stream].filter(Boolean).join(', ') : '';
  return { report, tampered: { ok: broken.ok, where, says: first ? `${place}: ${first.what}` : 'nothing' } };
}

/** Exit code 1 is an answer too: it says what is wrong on standard output. */
async function runVerify(path: string): Promise<Report> {
  const run = promisify(execFile);
  const args = [TERMINAL, 'verify', path, '--json'];
  const { stdout } = await run(process.execPath, args, { maxBuffer: OUTPUT_BYTES_MAX }).catch(
    (fault: { stdout?: string }) => {
      if (!fault.stdout) throw fault;
      return { stdout: fault.stdout };
    },
  );
  return JSON.parse(stdout) as Report;
}

/** In the middle of the file, so that it hits a receipt. */
function flipOneByte(path: string, copy: string): string {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(copy, bytes, { mode: 0o600 });
  return `byte ${at}`;
}
