/**
 * `tally job`: bounded spending windows.
 * Promise: every limit asked for and what clamped it is shown.
 */

import { type ExtendOptions, JobSchema, type JobStatus, JobStatusSchema, plain } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import type { Column } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';
import {
  addCommand,
  amount,
  count,
  duration,
  given,
  idOf,
  onRun,
  type World,
  withKey,
  withPayment,
} from './command.ts';

const JOB_ID = new Argument('<job>', 'id of the job: job_…').argParser(idOf('job'));
const LIST_MAX_DEFAULT = 50;
const LIST_MAX = 10_000;

const COLUMNS: Column[] = [
  { field: 'id', heading: 'JOB' },
  { field: 'label', heading: 'LABEL' },
  { field: 'status', heading: 'STATUS' },
  { field: 'spent_micros', heading: 'SPENT' },
  { field: 'max_total_spend_micros', heading: 'BUDGET' },
  { field: 'sandboxes_running', heading: 'RUNNING' },
  { field: 'expires_at', heading: 'EXPIRES' },
];

interface CreateOptions {
  budget: bigint;
  label?: string;
  ttl?: bigint;
  idle?: bigint;
  sandboxes?: number;
  key?: string;
}

export function addJobCommands(program: Command, world: World): void {
  const job = program.command('job').summary('bounded spending windows in which sandboxes run');
  addCreate(job, world);
  addList(job, world);
  const get = addCommand(job, {
    usage: 'get',
    summary: 'read one job',
    examples: ['tally job get job_0192…'],
  }).addArgument(JOB_ID);
  onRun(world, get, async ({ connect, out }, [id]) =>
    out.record(plain(JobSchema, (await (await connect()).jobs.get(id!)).state)),
  );
  addExtend(job, world);
  const stop = addCommand(job, {
    usage: 'stop',
    summary: 'stop a job and every sandbox in it',
    examples: ['tally job stop job_0192…'],
  }).addArgument(JOB_ID);
  onRun<{ key?: string }>(world, withKey(stop), async ({ connect, out }, [id], { key }) =>
    out.record(plain(JobSchema, await (await connect()).jobs.stop(id!, given({ key })))),
  );
}

function addCreate(job: Command, world: World): void {
  const create = addCommand(job, {
    usage: 'create',
    summary: 'open a job; the answer says what clamped each limit',
    examples: [
      "tally job create --budget '$2.50' --ttl 24h",
      'tally job create --budget 0.10usd --idle 15m --label audit --json',
    ],
  })
    .requiredOption('--budget <amount>', 'upper bound of everything it may ever spend', amount)
    .option('--label <name>', 'a name')
    .option('--ttl <time>', 'how long it lives (default: 24h)', duration)
    .option('--idle <time>', 'stop after this long without activity (default: never)', duration)
    .option('--sandboxes <count>', 'how many may run at once', count(1, 10_000));
  onRun<CreateOptions>(
    world,
    withPayment(create),
    async ({ connect, out }, _, { budget, label, ttl, idle, sandboxes, key }) => {
      const limits = given({ label, ttlMs: ttl, idleTimeoutMs: idle, sandboxesMax: sandboxes, key });
      const made = await (await connect()).jobs.create({ maxTotalSpendMicros: budget, ...limits });
      await out.record(plain(JobSchema, made.state));
    },
  );
}

function addList(job: Command, world: World): void {
  const list = addCommand(job, {
    usage: 'list',
    summary: 'list jobs, newest first',
    examples: ['tally job list', 'tally job list --status active --json'],
  })
    .option('--status <word>', 'only jobs with this status')
    .option('--max <count>', 'at most this many', count(1, LIST_MAX), LIST_MAX_DEFAULT);
  onRun<{ status?: string; max: number }>(world, list, async ({ connect, out }, _, { status, max }) => {
    const wanted = status === undefined ? [] : [statusNamed(status)];
    const jobs = (await connect()).jobs.list({ status: wanted });
    await out.list('jobs', await take(jobs, max, (state) => plain(JobSchema, state)), COLUMNS);
  });
}

function statusNamed(word: string): JobStatus {
  const known = JobStatusSchema.values.filter((value) => value.number !== 0);
  const found = known.find((value) => value.localName.toLowerCase() === word);
  if (found) return found.number as JobStatus;
  throw new UsageError(
    `${word} is no status.`,
    `Write ${known.map((value) => value.localName.toLowerCase()).join(', ')}.`,
  );
}

function addExtend(job: Command, world: World): void {
  const extend = addCommand(job, {
    usage: 'extend',
    summary: 'raise the budget or lengthen the life; clamped by policy',
    examples: ["tally job extend job_0192… --add-budget '$1'", 'tally job extend job_0192… --add-ttl 2h'],
  }).addArgument(JOB_ID);
  onRun<{ addBudget?: bigint; addTtl?: bigint; key?: string }>(
    world,
    withExtension(withKey(extend)),
    async ({ connect, out }, [id], options) => {
      const tally = await connect();
      await out.record(plain(JobSchema, await tally.jobs.extend(id!, extensionOf(options))));
    },
  );
}

/** The two options of `job extend` and `sandbox extend`. */
export const withExtension = (command: Command): Command =>
  command
    .option('--add-budget <amount>', 'this much more to spend', amount)
    .option('--add-ttl <time>', 'this much more time', duration);

/** @errors UsageError when neither is given */
export function extensionOf({
  addBudget,
  addTtl,
  key,
}: {
  addBudget?: bigint;
  addTtl?: bigint;
  key?: string;
}): ExtendOptions {
  if (addBudget === undefined && addTtl === undefined)
    throw new UsageError('Nothing to extend by.', 'Give --add-budget AMOUNT or --add-ttl TIME.');
  return given({ addSpendMicros: addBudget, addTtlMs: addTtl, key }) as ExtendOptions;
}

/** The first of them. */
export async function take<T, R>(items: AsyncIterable<T>, max: number, map: (item: T) => R): Promise<R[]> {
  const taken: R[] = [];
  for await (const item of items) {
    taken.push(map(item));
    if (taken.length >= max) break;
  }
  return taken;
}
