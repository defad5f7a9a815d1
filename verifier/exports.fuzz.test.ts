/**
 * Damaged exports, line by line and whole: TALLY_FUZZ_INPUTS lines from TALLY_SEED, and whole files for a part of them.
 * Promise: a verdict, never a throw; only the bytes that were written are found right; a line that is read was canonical.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCanonical, type JsonObject, jcs } from '@tallystick/kernel';
import { fuzz, fuzzBudgetOf } from '@tallystick/kernel/fuzz';
import { readExportLine } from './shapes.ts';
import { exportLines, SMALL_RULES, smallWorld } from './testing.ts';
import { verifyChunks } from './verify.ts';

/** Of so many lines one whole export is verified. */
const LINES_PER_FILE = 50;
/** A file comes in pieces of this size. */
const PIECE_BYTES = 7_001;

const bytes = (text: string): Buffer => Buffer.from(text);

function* pieces(file: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < file.length; at += PIECE_BYTES) yield file.subarray(at, at + PIECE_BYTES);
}

test('[I-20] fuzz: lines of exports', async (context) => {
  const budget = fuzzBudgetOf(process.env, Math.random());
  context.diagnostic(`${budget.inputs} inputs from seed ${budget.seed}`);
  const lines = await exportLines(smallWorld());
  await fuzz({
    ...budget,
    samples: lines.map((line) => bytes(line.slice(0, -1))),
    cpuUsage: () => process.cpuUsage(),
    check(input) {
      const text = Buffer.from(input).toString('utf8');
      try {
        const read = readExportLine(text) as unknown as Record<string, JsonObject>;
        assert.ok(isCanonical(text), 'read what was not canonical');
        const value = read[String(read['kind'])];
        assert.equal(jcs(value as JsonObject), text);
      } catch (thrown) {
        assert.ok(thrown instanceof SyntaxError || thrown instanceof TypeError, String(thrown));
      }
    },
  });
});

test('[I-20] fuzz: whole exports', async (context) => {
  const { inputs, seed } = fuzzBudgetOf(process.env, Math.random());
  context.diagnostic(`${Math.ceil(inputs / LINES_PER_FILE)} inputs from seed ${seed}`);
  const good = bytes((await exportLines(smallWorld())).join(''));
  await fuzz({
    inputs: Math.ceil(inputs / LINES_PER_FILE),
    seed,
    samples: [good],
    cpuUsage: () => process.cpuUsage(),
    async check(input) {
      const report = await verifyChunks(ReadableStream.from(pieces(input)), { rules: SMALL_RULES });
      assert.equal(
        report.ok,
        good.equals(input),
        report.ok ? 'another file was found right' : 'the good file was refused',
      );
      if (!report.ok) assert.ok(report.problems.length > 0 && report.problems_total > 0);
    },
  });
});
