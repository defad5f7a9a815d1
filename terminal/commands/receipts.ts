/**
 * `tally receipts` and `tally verify`: the record, and its proof without the platform.
 * Promise: verify needs no network, and names the line of whatever is wrong.
 */
import { basename, resolve } from 'node:path';
import { formatUsd, plain, type Receipt, ReceiptSchema } from '@tallystick/sdk';
import type { Problem, VerifyReport } from '@tallystick/verifier';
import type { Command } from 'commander';
import { EXIT_OK, EXIT_REFUSED } from '../exit-code.ts';
import { type Io, write } from '../io.ts';
import { type Column, type Plain, type PlainObject, printable } from '../output/render.ts';
import { findAddress } from '../session.ts';
import { addCommand, count, given, onRun, type Run, type World } from './command.ts';
import { take } from './job.ts';

const LIST_MAX_DEFAULT = 100;
const LIST_MAX = 1_000_000;
/** Public: the newest checkpoint of the log, with the key that signs it. */
const KEY_PATH = '/v1/log/checkpoint';

const COLUMNS: Column[] = [
  { field: 'id', heading: 'RECEIPT' },
  { field: 'at', heading: 'AT' },
  { field: 'stream', heading: 'STREAM' },
  { field: 'seq', heading: 'SEQ' },
  { field: 'command', heading: 'COMMAND' },
  { field: 'outcome', heading: 'OUTCOME' },
];

export function addReceiptCommands(program: Command, world: World): void {
  const receipts = program.command('receipts').summary('the record of everything that happened');
  addList(receipts, world);
  const get = addCommand(receipts, {
    usage: 'get',
    summary: 'read one receipt with its proof',
    examples: ['tally receipts get rcp_0192…'],
  });
  onRun(world, get.argument('<receipt>', 'id of the receipt: rcp_…'), async ({ connect, out }, [id]) => {
    const receipt = plain(ReceiptSchema, await (await connect()).receipts.get(id!));
    await out.say(receipt, JSON.stringify({ ...receipt, body: JSON.parse(String(receipt['body'])) as Plain }, null, 2));
  });
  addExport(receipts, world);
  addVerify(program, world);
}

function addList(receipts: Command, world: World): void {
  const list = addCommand(receipts, {
    usage: 'list',
    summary: 'list receipts, oldest first',
    examples: ['tally receipts list', 'tally receipts list --stream sandbox:sbx_0192… --json'],
  })
    .option('--stream <name>', 'only this stream, e.g. job:job_0192…')
    .option('--max <count>', 'at most this many', count(1, LIST_MAX), LIST_MAX_DEFAULT);
  onRun<{ stream?: string; max: number }>(world, list, async ({ connect, out }, _, { stream, max }) => {
    const found = (await connect()).receipts.list(given({ stream }));
    await out.list('receipts', await take(found, max, rowOf), COLUMNS);
  });
}

const rowOf = (receipt: Receipt): PlainObject => ({
  ...plain(ReceiptSchema, receipt),
  outcome: receipt.rejection ? `refused: ${receipt.rejection}` : receipt.events.join(', '),
});

function addExport(receipts: Command, world: World): void {
  const command = addCommand(receipts, {
    usage: 'export',
    summary: 'write everything needed to verify offline to a file',
    examples: ['tally receipts export receipts.jsonl'],
  }).argument('<file>', 'where to write; - for standard output');
  onRun(world, command, async ({ io, out, connect }, [file]) => {
    const { receipts: source } = await connect();
    if (file === '-') {
      for await (const bytes of source.stream()) await write(io.stdout, bytes);
      return;
    }
    const path = resolve(io.folder, file!);
    const { bytes } = await source.export(path);
    await out.say({ path, bytes }, `${bytes} bytes to ${path}; check them with: tally verify ${file}`);
  });
}

function addVerify(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'verify',
    summary: 'check an export offline: signatures, inclusion, chains, every decision again, every balance',
    examples: [
      'tally verify receipts.jsonl',
      'tally verify receipts.jsonl --verifier-key tallystick.example+1a2b3c4d+Ae… --json',
    ],
    isLocal: true,
  })
    .argument('<file>', 'an export written by `tally receipts export`')
    .option('--verifier-key <vkey>', "the log's C2SP verifier key, learned by other means than the export");
  onRun<{ verifierKey?: string }>(world, command, async ({ io, out }, [file], { verifierKey }) =>
    tellReport({ out, io }, resolve(io.folder, file!), given({ expectedLogVerifier: verifierKey })),
  );
}

async function tellReport(
  { io, out }: Pick<Run, 'io' | 'out'>,
  path: string,
  options: { expectedLogVerifier?: string },
): Promise<number> {
  // here, so that no other command waits for all rules to load
  const { verifyExport } = await import('@tallystick/verifier');
  const report = await verifyExport(path, options);
  const { ok, is_export: isExport, problems } = report;
  if (out.isJson) await out.record(JSON.parse(JSON.stringify(report)) as PlainObject);
  else {
    const what = isExport ? reportText(report) : notExportText(path, problems);
    await write(io.stdout, `${ok ? out.colours.green('verified') : out.colours.red('NOT VERIFIED')}: ${what}\n`);
    if (!isExport) return EXIT_REFUSED;
    if (ok && !report.pinned) await out.note(await signerText(io, report));
  }
  for (const problem of problems) await write(io.stderr, `${problemText(problem)}\n`);
  return ok ? EXIT_OK : EXIT_REFUSED;
}

/** Who signed the log, and where everybody can read the key that should have; nothing is asked there. */
export async function signerText(io: Io, { log_verifier }: Pick<VerifyReport, 'log_verifier'>): Promise<string> {
  const place = await findAddress(io).then(
    ({ url }) => `${url}${KEY_PATH}`,
    () => `${KEY_PATH} of the platform`, // an export is verified without one
  );
  return `signed by ${printable(log_verifier)}: compare it with "verifier" at ${place}, or give --verifier-key`;
}

function reportText({ receipts, streams, tickets, checkpoint, trial_balance: balances }: VerifyReport): string {
  const sums = balances.map(
    ({ asset, sum_micros: sum }) => `${asset} ${asset === 'usd' ? formatUsd(BigInt(sum)) : sum}`,
  );
  return `${receipts} receipts in ${streams} streams, ${tickets} run tickets, log ${printable(checkpoint.origin)} of size ${checkpoint.size}, trial balance ${sums.join(', ')}`;
}

function notExportText(path: string, [first]: Problem[]): string {
  const file = basename(path);
  return printable(
    `${file} is no export of receipts: its first line is not the header of one (${first?.what}). \`tally receipts export FILE\` writes one.`,
  );
}

function problemText({ line, pos, stream, what }: Problem): string {
  const place = [`line ${line}`, pos === undefined ? '' : `receipt ${pos}`, stream ?? ''].filter(Boolean).join(', ');
  return printable(`${place}: ${what}`);
}
