/**
 * How fast an export is verified: the whole judgement beside the least that any verifier of a log must do.
 * Promise: both read the same file in the same run, in turns; figures are medians.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import {
  type Checkpoint,
  type ExportHeader,
  type ExportReceipt,
  leafHash,
  openCheckpoint,
  verifyInclusion,
} from '@tallystick/kernel';
import { verifyExport } from '@tallystick/verifier';
import { exportLines, LOG_KEY, SMALL_RULES, smallWorld } from '@tallystick/verifier/testing';
import type { BenchOptions, BenchResult } from './run.ts';

const ROUNDS = 3;
const MS_PER_SECOND = 1000;
const RECEIPTS_PER_SANDBOX = 7;
const RECEIPTS_DEFAULT = 10_000;

/** Option `receipts`: about how many; 10000. */
export async function run(options: BenchOptions): Promise<BenchResult> {
  const sandboxes = Math.ceil(Number(options['receipts'] ?? RECEIPTS_DEFAULT) / RECEIPTS_PER_SANDBOX);
  const world = smallWorld(sandboxes);
  const folder = await mkdtemp(join(tmpdir(), 'tally-bench-verify-'));
  try {
    const path = join(folder, 'export.jsonl');
    const lines = await exportLines(world);
    await writeFile(path, lines.join(''));
    return await measure(path, world.receipts.length, lines.length - world.receipts.length - 2);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measure(path: string, receipts: number, tickets: number): Promise<BenchResult> {
  const rates: Record<'all' | 'proofs', number[]> = { all: [], proofs: [] };
  for (let round = 0; round < ROUNDS; round++) {
    rates.proofs.push(await rateOf(receipts, () => checkProofs(path)));
    rates.all.push(await rateOf(receipts, () => checkAll(path)));
  }
  const [all, proofs] = [median(rates.all), median(rates.proofs)];
  return {
    name: 'verify',
    figures: { receipts_per_s: all, proofs_only_per_s: proofs, of_proofs_only: all / proofs },
    table: [
      { what: `verified and replayed, ${tickets} tickets`, receipts, 'receipts/s': Math.round(all) },
      { what: 'only hashed and proven in the log', receipts, 'receipts/s': Math.round(proofs) },
    ],
  };
}

async function rateOf(receipts: number, work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (receipts * MS_PER_SECOND) / (performance.now() - startMs);
}

async function checkAll(path: string): Promise<void> {
  const report = await verifyExport(path, { rules: SMALL_RULES });
  if (!report.ok) throw new Error(`the export is not right: ${JSON.stringify(report.problems[0])}`);
}

/** What a log client does that knows no rules: parse, hash, inclusion. */
async function checkProofs(path: string): Promise<void> {
  let root: Checkpoint | undefined;
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    const line = JSON.parse(text) as ExportHeader | ExportReceipt;
    if ('checkpoint' in line) root = openCheckpoint(LOG_KEY, line.checkpoint);
    if ('receipt' in line) checkProof(root!, line);
  }
}

function checkProof({ size, root }: Checkpoint, { pos, receipt, proof }: ExportReceipt): void {
  const path = proof.map((hash) => Buffer.from(hash, 'base64'));
  if (!verifyInclusion(leafHash(receipt), pos, size, path, root)) throw new Error(`${pos} is not in the log`);
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
