/**
 * `tally doctor`: tries everything that has to work, and says what to install or change.
 * Promise: every finding comes from doing the thing, not from looking at a version; nothing is left behind.
 */
import type { Command } from 'commander';
import { hostProbes } from '../doctor/host.ts';
import { keepingProbes, nodeProbe, platformProbes } from '../doctor/platform.ts';
import type { Finding, Probe } from '../doctor/probe.ts';
import { EXIT_OK, EXIT_REFUSED } from '../exit-code.ts';
import { type Io, write } from '../io.ts';
import type { Out } from '../output/out.ts';
import { dataFolder, findAddress, findLocalAddress } from '../session.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, onRun, type Run, type World } from './command.ts';

interface Options {
  host: boolean;
  data?: string;
}

export function addDoctorCommand(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'doctor',
    summary: 'try everything that has to work here, and say what is missing',
    examples: ['tally doctor', 'tally doctor --json', 'tally doctor --data /srv/tally', 'tally doctor --no-host'],
  })
    .option(
      '--data <dir>',
      'the platform whose data is there, as its `npm start -- --data` names it (default: TALLY_DATA, or .tally in the clone)',
    )
    .option('--no-host', 'leave out what only the machine of the platform needs');
  onRun<Options>(world, command, examine);
}

async function examine(run: Run, _: string[], { host, data }: Options): Promise<number> {
  const io = data === undefined ? run.io : { ...run.io, env: { ...run.io.env, TALLY_DATA: data } };
  const isNamedByData = data !== undefined && run.url === undefined;
  const find = () => (isNamedByData ? findLocalAddress(io, () => nothingIn(io)) : findAddress(io, run.url));
  const probes: Probe[] = [
    nodeProbe(),
    ...platformProbes(io, find),
    ...keepingProbes(io),
    ...(host ? hostProbes(io) : []),
  ];
  const findings: Finding[] = [];
  for (const probe of probes) {
    const finding = { name: probe.name, ...(await probe.attempt()) };
    findings.push(finding);
    if (!run.out.isJson) await write(run.io.stdout, lineOf(run.out, finding));
  }
  const isWell = findings.every((finding) => finding.state !== 'bad');
  if (run.out.isJson) await run.out.record({ ok: isWell, findings: findings.map((finding) => ({ ...finding })) });
  return isWell ? EXIT_OK : EXIT_REFUSED;
}

const nothingIn = (io: Io): UsageError =>
  new UsageError(`no platform runs with its data in ${dataFolder(io)}`, 'Name the folder of one that runs.');

function lineOf({ colours }: Out, { name, state, what, advice }: Finding): string {
  const mark = { good: colours.green('ok  '), bad: colours.red('FAIL'), open: colours.yellow('?   ') }[state];
  return `${mark} ${name.padEnd(18)} ${what}\n${advice ? `     ${' '.repeat(18)} -> ${advice}\n` : ''}`;
}
