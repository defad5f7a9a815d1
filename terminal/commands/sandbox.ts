/**
 * `tally sandbox`: real isolated machines by the minute.
 * Promise: what it costs, until when it is paid and why it ended is always shown.
 */

import { plain, type Sandbox, SandboxSchema, type SandboxState } from '@tallystick/sdk';
import { Argument, type Command, Option } from 'commander';
import type { Out } from '../output/out.ts';
import { type Column, cellText, type PlainObject, recordText } from '../output/render.ts';
import {
  addCommand,
  amount,
  count,
  duration,
  durationWithin,
  given,
  idOf,
  onRun,
  type Run,
  type World,
  withKey,
  withPayment,
} from './command.ts';
import { addEgressCommand, type EgressOptions, egressOf, withEgress } from './egress.ts';
import { extensionOf, take, withExtension } from './job.ts';
import { addAttestationCommand } from './secret.ts';

const SANDBOX_ID = new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx'));
const QUANTUM_MS_MIN = 1_000n;
const QUANTUM_MS_MAX = 60_000n;
const LIST_MAX_DEFAULT = 50;
const LIST_MAX = 10_000;

const COLUMNS: Column[] = [
  { field: 'id', heading: 'SANDBOX' },
  { field: 'label', heading: 'LABEL' },
  { field: 'status', heading: 'STATUS' },
  { field: 'stop_reason', heading: 'REASON' },
  { field: 'price_micros_per_minute', heading: 'PER MINUTE' },
  { field: 'spent_micros', heading: 'SPENT' },
  { field: 'max_spend_micros', heading: 'CAP' },
  { field: 'paid_until', heading: 'PAID UNTIL' },
];

export function addSandboxCommands(program: Command, world: World): void {
  const sandbox = program.command('sandbox').summary('real isolated machines, paid minute by minute in advance');
  addCreate(sandbox, world);
  addList(sandbox, world);
  addOne(sandbox, world, { verb: 'get', summary: 'read one sandbox' }, (one) => one.refresh());
  addOne(
    sandbox,
    world,
    { verb: 'stop', summary: 'end it now; unused paid time is refunded by the second', keyed: true },
    (one, key) => one.stop(key),
  );
  addOne(
    sandbox,
    world,
    { verb: 'destroy', summary: 'end it now and remove everything of it', keyed: true },
    (one, key) => one.destroy(key),
  );
  addExtend(sandbox, world);
  addTouch(sandbox, world);
  addAttestationCommand(sandbox, world);
  addEgressCommand(sandbox, world);
}

interface CreateOptions extends EgressOptions {
  label?: string;
  image?: string;
  cpu?: number;
  ram?: number;
  disk?: number;
  cap?: bigint;
  ttl?: bigint;
  idle?: bigint;
  quantum?: bigint;
  snapshot?: string;
  onEnd?: 'discard' | 'snapshot';
  imageDigest?: string;
  isolation?: string;
  key?: string;
}

function addCreate(sandbox: Command, world: World): void {
  const create = addCommand(sandbox, {
    usage: 'create',
    summary: 'buy the first minute and start a machine',
    examples: [
      'tally sandbox create --job job_0192…',
      "tally sandbox create --job job_0192… --ram 1024 --cap '$0.50' --ttl 1h --idle 10m",
      'tally sandbox create --job job_0192… --snapshot snp_0192… --on-end snapshot',
      'tally sandbox create --job job_0192… --egress allowlist --allow packages.example.org:443',
    ],
  })
    .requiredOption('--job <job>', 'its job', idOf('job'))
    .option('--label <name>', 'a name')
    .option('--image <image>', 'image from the allowlist, e.g. sandbox-base:v1.0.0')
    .option('--cpu <millis>', 'thousandths of a core (default: 1000)', count(50, 64_000))
    .option('--ram <mib>', 'memory (default: 512)', count(64, 524_288))
    .option('--disk <mib>', 'writable disk (default: 512)', count(16, 1_048_576))
    .option('--cap <amount>', 'upper bound of what it may spend (default: what remains of the job)', amount)
    .option('--snapshot <snapshot>', 'start from it instead of an empty disk: snp_…', idOf('snp'))
    .addOption(
      new Option('--on-end <what>', 'its file system when money or time is over (default: discard)').choices([
        'discard',
        'snapshot',
      ]),
    )
    .option('--image-digest <sha256>', 'start only where the image is made of exactly this')
    .option(
      '--isolation <level>',
      'the weakest level that will do: vm, gvisor, ns; refused where the machine is weaker',
    )
    .option('--ttl <time>', 'how long it may live (default: what remains of the job)', duration)
    .option('--idle <time>', 'stop after this long without activity (default: never)', duration)
    .option(
      '--quantum <time>',
      'length of one sold step, 1s to 60s (default: 60s)',
      durationWithin(QUANTUM_MS_MIN, QUANTUM_MS_MAX),
    );
  const whole = withEgress(withPayment(create));
  onRun<CreateOptions & { job: string }>(world, whole, async ({ connect, out }, _, options) => {
    const { job, label, image, cpu, ram, disk, cap, ttl, idle, quantum, key } = options;
    const tally = await connect();
    const { snapshot: snapshotId, onEnd, imageDigest, isolation } = options;
    const start = given({ snapshotId, onEnd, imageDigest, isolation });
    const machine = given({ label, image, cpuMillis: cpu, ramMib: ram, diskMib: disk });
    const limits = given({ maxSpendMicros: cap, ttlMs: ttl, idleTimeoutMs: idle, quantumMs: quantum, key });
    const made = await tally.sandboxes.create(job, { ...machine, ...start, ...limits, ...egressOf(options) });
    await show(out, made.state!);
  });
}

function addList(sandbox: Command, world: World): void {
  const list = addCommand(sandbox, {
    usage: 'list',
    summary: 'list sandboxes, newest first',
    examples: ['tally sandbox list', 'tally sandbox list --job job_0192… --json'],
  })
    .option('--job <job>', 'only sandboxes of this job', idOf('job'))
    .option('--max <count>', 'at most this many', count(1, LIST_MAX), LIST_MAX_DEFAULT);
  onRun<{ job?: string; max: number }>(world, list, async ({ connect, out }, _, { job, max }) => {
    const sandboxes = (await connect()).sandboxes.list(given({ jobId: job }));
    await out.list('sandboxes', await take(sandboxes, max, (state) => plain(SandboxSchema, state)), COLUMNS);
  });
}

type Ask = (sandbox: Sandbox, key: { key?: string }) => Promise<SandboxState>;

/** A command that names one sandbox and answers with its state. */
function addOne(
  parent: Command,
  world: World,
  { verb, summary, keyed }: { verb: string; summary: string; keyed?: boolean },
  ask: Ask,
): void {
  const command = addCommand(parent, {
    usage: verb,
    summary,
    examples: [`tally sandbox ${verb} sbx_0192…`],
  }).addArgument(SANDBOX_ID);
  if (keyed) withKey(command);
  onRun<{ key?: string }>(world, command, (run, [id], { key }) => tell(run, id!, (one) => ask(one, given({ key }))));
}

async function tell(
  { connect, out }: Run,
  id: string,
  ask: (sandbox: Sandbox) => Promise<SandboxState>,
): Promise<void> {
  const tally = await connect();
  await show(out, await ask(tally.sandboxes.attach(id)));
}

/** How long it ran is known at its end; until then people see since when it runs. */
async function show(out: Out, state: SandboxState): Promise<void> {
  const value = plain(SandboxSchema, state);
  const hasEnded = value['stopped_at'] !== null;
  const lines = [recordText(hasEnded ? value : { ...value, ran_ms: null }, out.colours), wayOnText(value)];
  await out.say(value, lines.filter(Boolean).join('\n'));
}

/** What lets a machine go on that lacks money; empty for any other. */
function wayOnText({ waiting_for, status, funds_until }: PlainObject): string {
  if (waiting_for !== 'funds') return '';
  const what = status === 'frozen' ? 'It stands still for want of money' : 'Its next minute is not covered';
  return `${what}: until ${cellText('', funds_until)} a deposit or \`tally top-up\` lets it go on at once.`;
}

function addExtend(sandbox: Command, world: World): void {
  const extend = addCommand(sandbox, {
    usage: 'extend',
    summary: 'raise the spend cap or lengthen the life',
    examples: ["tally sandbox extend sbx_0192… --add-budget '$0.25'", 'tally sandbox extend sbx_0192… --add-ttl 30m'],
  }).addArgument(SANDBOX_ID);
  onRun<{ addBudget?: bigint; addTtl?: bigint; key?: string }>(
    world,
    withExtension(withKey(extend)),
    (run, [id], options) => {
      const extension = extensionOf(options);
      return tell(run, id!, (one) => one.extend(extension));
    },
  );
}

function addTouch(sandbox: Command, world: World): void {
  const touch = addCommand(sandbox, {
    usage: 'touch',
    summary: 'say that something is going on, so that the idle timeout does not apply',
    examples: ['tally sandbox touch sbx_0192… --reason thinking --for 5m'],
  })
    .addArgument(SANDBOX_ID)
    .option('--reason <text>', 'what is going on')
    .option('--for <time>', 'until when it counts as active, from now', duration);
  onRun<{ reason?: string; for?: bigint; key?: string }>(
    world,
    withKey(touch),
    (run, [id], { reason, for: forMs, key }) => tell(run, id!, (one) => one.touch(given({ reason, forMs, key }))),
  );
}
