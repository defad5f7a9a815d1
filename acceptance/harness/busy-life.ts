/**
 * A caller's whole life, again and again, while the platform dies around them: pay, buy, run, store, end.
 * Promise: only typed answers are taken; what was acknowledged is kept, to be held against the log afterwards.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, type Job, type Sandbox } from '@tallystick/sdk';
import { answered, type Caller } from './callers.ts';
import { SMALL, untilEnded } from './lease.ts';

/** What a machine that is lost, starting, without money or over may say to whoever still wants something of it. */
const LOST_CODES = new Set([
  ...['sandbox_ended', 'sandbox_not_running', 'sandbox_unfunded', 'exec_refused', 'file_refused', 'not_found'],
]);
const JOB_OVER_CODES = new Set(['job_not_active', 'job_cap_exceeded', 'sandbox_ended', 'sandbox_not_running']);
const STUCK_MS_MAX = 150_000;
const FILE_BYTES_MAX = 200_000;
const COMMANDS_MAX = 3;
const JOB_MICROS_MIN = 20n;
const JOB_MICROS_MAX = 2_000n;
const DEPOSIT_MICROS = 2_000n;

/** What the platform said it had done in machines. */
export interface Done {
  /** Commands whose answer came, by id, with what they printed. */
  execs: { sandbox: string; execId: string }[];
  uploads: number;
  /** Refusals by code. */
  refusals: Map<string, number>;
  lives: number;
}

export const newDone = (): Done => ({ execs: [], uploads: 0, refusals: new Map(), lives: 0 });

/** Lives on until told to stop; the last machine has ended then. */
export async function liveOn(caller: Caller, done: Done, random: () => number, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const job = await openJob(caller, random);
    const sandbox = await buy(caller, done, job);
    if (sandbox) {
      for (let count = random() * COMMANDS_MAX; count > 0; count -= 1) await use(caller, done, sandbox, random);
      await end(caller, done, { job, sandbox }, random);
      await untilReallyEnded(caller, sandbox);
    }
    done.lives += 1;
  }
}

async function openJob({ who: { tally }, told }: Caller, random: () => number): Promise<Job> {
  const [depositKey, key] = [randomUUID(), randomUUID()];
  const deposit = await answered(told, () => tally.depositDevelopment(DEPOSIT_MICROS, { key: depositKey }));
  told.deposits.push({ id: deposit.id, amountMicros: DEPOSIT_MICROS });
  const maxTotalSpendMicros = random() < 0.3 ? JOB_MICROS_MIN : JOB_MICROS_MAX;
  const job = await answered(told, () => tally.jobs.create({ maxTotalSpendMicros, key }));
  told.jobs.push({ id: job.id, maxMicros: maxTotalSpendMicros, key });
  return job;
}

async function buy({ told }: Caller, done: Done, job: Job): Promise<Sandbox | undefined> {
  const key = randomUUID();
  const sandbox = await orRefused(done, JOB_OVER_CODES, () =>
    answered(told, () => job.sandboxes.create({ ...SMALL, key })),
  );
  if (sandbox) told.sandboxes.push({ id: sandbox.id, key });
  return sandbox;
}

/** A command that counts its own starts, or a file that comes back as it went. */
async function use(caller: Caller, done: Done, sandbox: Sandbox, random: () => number): Promise<void> {
  const { told } = caller;
  const key = randomUUID();
  const execId = `exec_${randomBytes(16).toString('hex')}`;
  if (random() < 0.6) {
    const script = `echo once >>${execId}; sleep ${(random() * 0.5).toFixed(2)}; cat ${execId}`;
    const ran = await orRefused(done, LOST_CODES, () =>
      answered(told, () => sandbox.exec(['sh', '-c', script], { execId, key })),
    );
    if (ran?.end === 'exited')
      assert.equal(ran.stdout, 'once\n', '[I-15] a command ran twice, or its output is not whole');
    if (ran) done.execs.push({ sandbox: sandbox.id, execId });
    return;
  }
  const content = randomBytes(Math.ceil(random() * FILE_BYTES_MAX));
  const path = `file-${key}`;
  const stored = await orRefused(done, LOST_CODES, () => answered(told, () => sandbox.upload(path, content, { key })));
  if (!stored) return;
  done.uploads += 1;
  const back = await orRefused(done, LOST_CODES, () => answered(told, () => bytesOf(sandbox.download(path))));
  if (back) assert.equal(sha256(back), sha256(content), 'a file came back as another one');
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** By its owner, with its job, by the job's budget, or forgotten for a while and then stopped. */
async function end(
  { told }: Caller,
  done: Done,
  { job, sandbox }: { job: Job; sandbox: Sandbox },
  random: () => number,
): Promise<void> {
  const key = randomUUID();
  const way = random();
  if (way < 0.4) await orRefused(done, LOST_CODES, () => answered(told, () => sandbox.stop({ key })));
  else if (way < 0.8 || job.state.maxTotalSpendMicros > JOB_MICROS_MIN) {
    if (way > 0.6) await sleep(random() * 6_000);
    const stopped = await orRefused(done, JOB_OVER_CODES, () => answered(told, () => job.stop({ key })));
    if (stopped) told.stopped.add(job.id);
  }
}

async function untilReallyEnded({ told }: Caller, sandbox: Sandbox): Promise<void> {
  const refresh = () => answered(told, () => sandbox.refresh());
  await untilEnded({ id: sandbox.id, refresh } as Sandbox, STUCK_MS_MAX);
}

/** Undefined when the platform refused with one of these codes. @errors every other refusal */
async function orRefused<T>(done: Done, codes: ReadonlySet<string>, ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (fault) {
    if (!(fault instanceof ApiError) || !codes.has(fault.code)) throw fault;
    done.refusals.set(fault.code, (done.refusals.get(fault.code) ?? 0) + 1);
    return undefined;
  }
}
