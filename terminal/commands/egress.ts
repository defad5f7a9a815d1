/**
 * `tally sandbox egress`: how far a sandbox may reach out, and what was decided about each attempt.
 * Promise: what is denied is shown with its reason; a change replaces all rules at once.
 */
import {
  type Egress,
  type EgressDecision,
  EgressDecisionSchema,
  EgressSchema,
  type EgressWish,
  plain,
} from '@tallystick/sdk';
import { Argument, type Command, Option } from 'commander';
import { write } from '../io.ts';
import type { Column, PlainObject } from '../output/render.ts';
import { addCommand, given, idOf, onRun, type Run, type World, withKey } from './command.ts';

const MODES = ['none', 'allowlist', 'open'];

const COLUMNS: Column[] = [
  { field: 'at', heading: 'AT' },
  { field: 'outcome', heading: 'OUTCOME' },
  { field: 'target', heading: 'TARGET' },
  { field: 'address', heading: 'ADDRESS' },
  { field: 'rule', heading: 'RULE' },
  { field: 'reason', heading: 'REASON' },
  { field: 'bytes_out', heading: 'OUT' },
  { field: 'bytes_in', heading: 'IN' },
];

export interface EgressOptions {
  egress?: EgressWish['mode'];
  allow?: string[];
}

const collect = (text: string, before: string[] = []): string[] => [...before, text];

/** How far out, as options of a command. */
export function withEgress(command: Command): Command {
  const mode = new Option('--egress <mode>', 'how far it may reach out (default: allowlist with --allow, else none)');
  return command
    .addOption(mode.choices(MODES))
    .option('--allow <rule>', 'host:ports it may reach, e.g. *.example.com:80,443; repeat for more', collect);
}

/** Nothing when nothing was asked for. */
export function egressOf({ egress, allow }: EgressOptions): { egress?: EgressWish } {
  return egress === undefined && allow === undefined ? {} : { egress: given({ mode: egress, allow }) };
}

interface Wishes extends EgressOptions {
  follow?: boolean;
  key?: string;
}

export function addEgressCommand(sandbox: Command, world: World): void {
  const egress = addCommand(sandbox, {
    usage: 'egress',
    summary: 'how far it may reach out: show it with its decisions, or replace it',
    examples: [
      'tally sandbox egress sbx_0192…',
      'tally sandbox egress sbx_0192… --allow packages.example.org:443 --allow *.example.com:80,443',
      'tally sandbox egress sbx_0192… --egress none',
      'tally sandbox egress sbx_0192… --follow',
    ],
  }).addArgument(new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx')));
  withEgress(withKey(egress)).option('--follow', 'show decisions as they are made, until interrupted');
  onRun<Wishes>(world, egress, async (run, [id], wishes) => {
    const one = (await run.connect()).sandboxes.attach(id!);
    const { egress: wish } = egressOf(wishes);
    const { key, follow } = wishes;
    const held = wish ? await one.setEgress({ ...wish, ...given({ key }) }) : await one.egress();
    await tell(run, held);
    if (follow) await followTo(run, (signal) => one.egressDecisions({ after: held.nextAfter, signal }));
  });
}

function lineOf(decision: EgressDecision): PlainObject {
  const { host, port, ...told } = plain(EgressDecisionSchema, decision) as PlainObject;
  const isCount = told['outcome'] === 'suppressed';
  return { ...told, host: host!, port: port!, target: isCount ? `${told['count']} attempts` : `${host}:${port}` };
}

async function tell({ out }: Run, held: Egress): Promise<void> {
  const { decisions, ...record } = plain(EgressSchema, held) as PlainObject;
  if (out.isJson) return out.record({ ...record, decisions: decisions! });
  await out.record(record);
  if (held.decisions.length > 0) await out.list('decisions', held.decisions.map(lineOf), COLUMNS);
}

/** One line each; with --json one JSON value each. */
async function followTo({ io, out }: Run, open: (signal: AbortSignal) => AsyncIterable<EgressDecision>): Promise<void> {
  const stop = new AbortController();
  const release = io.onInterrupt(() => stop.abort());
  const interrupted = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
  const following = (async () => {
    for await (const decision of open(stop.signal)) {
      const line = lineOf(decision);
      const text = out.isJson ? JSON.stringify(line) : COLUMNS.map(({ field }) => String(line[field] ?? '')).join('  ');
      await write(io.stdout, `${text}\n`);
    }
  })();
  await Promise.race([following, interrupted]).finally(release);
}
