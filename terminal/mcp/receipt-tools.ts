/**
 * Receipts as tools: take the whole record home, and check it without the platform.
 * Promise: an export never replaces a file; verifying sends nothing and opens one file.
 */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type JsonObject, refuseHere } from '@tallystick/sdk';
import { checkInput, count, flag, objectOf, text } from './schema.ts';
import type { Tool } from './tool.ts';

const PATH_CHARS_MAX = 4096;
const path = (description: string): JsonObject => text(description, { minLength: 1, maxLength: PATH_CHARS_MAX });

const EXPORT_INPUT = objectOf({ path: path('A file of this computer that does not exist yet.') });

const exportReceipts: Tool = {
  name: 'receipts_export',
  description: 'Write everything needed to verify offline to a new file on this computer.',
  annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
  isKeyed: false,
  inputSchema: EXPORT_INPUT,
  outputSchema: objectOf({ path: text('Where it was written.'), bytes: count('Size.') }),
  async run(input, { connect, folder }) {
    await checkInput(EXPORT_INPUT, input);
    const target = resolve(folder, String(input['path']));
    if (await exists(target))
      throw refuseHere('ALREADY_EXISTS', { suggestion: 'Name a new file.', facts: { id: target } });
    const { bytes } = await (await connect()).receipts.export(target);
    return { path: target, bytes };
  },
};

async function exists(file: string): Promise<boolean> {
  const status = await stat(file).catch((fault: NodeJS.ErrnoException) => {
    if (fault.code === 'ENOENT') return undefined;
    throw fault;
  });
  return status !== undefined;
}

const VERIFY_INPUT = objectOf(
  {
    path: path('An export on this computer, as receipts_export or `tally receipts export` writes it.'),
    verifier_key: text(
      "The log's C2SP verifier key, learned by other means than the export: `verifier` of GET /v1/log/checkpoint at the platform, which is public.",
    ),
  },
  ['path'],
);

const verify: Tool = {
  name: 'receipts_verify',
  description:
    'Check an export offline: signatures, inclusion, chains, every decision again, every balance. A file that fails is a result (ok: false), not an error.',
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true },
  isKeyed: false,
  inputSchema: VERIFY_INPUT,
  outputSchema: objectOf({
    ok: flag('Nothing was found wrong.'),
    is_export: flag('The first line is the header of an export; without one nothing else was looked at.'),
    receipts: count('Receipts in the export.'),
    redecided: count('Receipts whose decision was made again.'),
    streams: count('Streams.'),
    tickets: count('Run tickets.'),
    checkpoint: objectOf({ origin: text('Whose log.'), size: count('Receipts that the signed root covers.') }),
    log_verifier: text('The verifier key that opened the checkpoint.'),
    pinned: flag('It was the verifier_key that was given.'),
    owner: { description: 'Whose streams; null: the whole log.', type: ['string', 'null'] },
    trial_balance: {
      description: 'Credits minus debits of each asset; 0 when conserved.',
      type: 'array',
      items: objectOf({ asset: text('usd or cap.'), sum_micros: text('Decimal.') }),
    },
    problems: {
      description: 'The first of them, by line.',
      type: 'array',
      items: objectOf(
        {
          line: count('Line of the export.'),
          pos: count('Position of the receipt.'),
          stream: text('Stream of the receipt.'),
          what: text('What is wrong.'),
        },
        ['line', 'what'],
      ),
    },
    problems_total: count('All of them.'),
  }),
  async run(input, { folder }) {
    await checkInput(VERIFY_INPUT, input);
    const key = input['verifier_key'];
    const { verifyExport } = await import('@tallystick/verifier');
    const options = typeof key === 'string' ? { expectedLogVerifier: key } : {};
    const report = await verifyExport(resolve(folder, String(input['path'])), options);
    return JSON.parse(JSON.stringify(report)) as JsonObject;
  },
};

export const RECEIPT_TOOLS: readonly Tool[] = [exportReceipts, verify];
