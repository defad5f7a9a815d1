/**
 * Jobs: bounded spending windows in which sandboxes run.
 * Promise: a job's limits are enforced by the platform; this object only asks.
 */
import type { Job as JobState, JobStatus } from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf, keyOfName } from './ids.ts';
import { pagesOf } from './pages.ts';
import { type CreateSandboxOptions, createSandbox, type Sandbox } from './sandbox.ts';
import type { Link } from './services.ts';

export interface CreateJobOptions extends Keyed {
  /**
   * Its label, and its idempotency key: the same name with the same limits is the same job, in this process and in the next.
   * The answer is the first one; `refresh` tells how it stands now.
   */
  name?: string;
  label?: string;
  /** Upper bound of everything the job may ever spend. */
  maxTotalSpendMicros: bigint;
  /** Absent: 24 hours. */
  ttlMs?: bigint;
  /** Stop after this long without activity; absent: never. */
  idleTimeoutMs?: bigint;
  sandboxesMax?: number;
}

/** At least one of them. */
export interface ExtendOptions extends Keyed {
  addSpendMicros?: bigint;
  addTtlMs?: bigint;
}

export interface Job {
  readonly id: string;
  /** As the platform last told it. */
  readonly state: JobState;
  readonly sandboxes: {
    /**
     * Buys the first minute and starts a machine.
     * @errors ApiError `insufficient_funds`, `job_cap_exceeded`, `sandbox_count_exceeded`, `job_not_active`, …
     */
    create(options?: CreateSandboxOptions): Promise<Sandbox>;
  };
  refresh(options?: Asked): Promise<JobState>;
  extend(options: ExtendOptions): Promise<JobState>;
  /** Stops the job and every sandbox in it. */
  stop(options?: Keyed): Promise<JobState>;
}

export interface Jobs {
  /**
   * Opens a job.
   * @example const job = await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n, ttlMs: 3_600_000n });
   */
  create(options: CreateJobOptions): Promise<Job>;
  /** @errors ApiError `not_found` */
  get(id: string, options?: Asked): Promise<Job>;
  /** Newest first, page by page as they are asked for. */
  list(filter?: Asked & { status?: readonly JobStatus[] }): AsyncIterable<JobState>;
  extend(id: string, options: ExtendOptions): Promise<JobState>;
  stop(id: string, options?: Keyed): Promise<JobState>;
}

/** @internal */
export function jobsOf(link: Link): Jobs {
  const { jobs } = link.services;
  return {
    async create({ key, signal, name, ...limits }) {
      const input = name === undefined ? limits : { label: name, ...limits };
      const named = key ?? (name === undefined ? undefined : keyOfName('job', name));
      return jobOf(link, await jobs.createJob(input, keyOf({ key: named, signal })));
    },
    get: async (id, options) => jobOf(link, await jobs.getJob({ id }, askedOf(options))),
    list: (filter = {}) =>
      pagesOf(async (pageToken) => {
        const page = await jobs.listJobs({ pageToken, status: [...(filter.status ?? [])] }, askedOf(filter));
        return { items: page.jobs, next: page.nextPageToken };
      }),
    extend: (id, { key, signal, ...input }) => jobs.extendJob({ id, ...input }, keyOf({ key, signal })),
    stop: (id, options) => jobs.stopJob({ id }, keyOf(options)),
  };
}

function jobOf(link: Link, first: JobState): Job {
  const { jobs } = link.services;
  let state = first;
  const told = async (answer: Promise<JobState>): Promise<JobState> => {
    state = await answer;
    return state;
  };
  return {
    id: first.id,
    get state() {
      return state;
    },
    sandboxes: { create: (options = {}) => createSandbox(link, first.id, options) },
    refresh: (options) => told(jobs.getJob({ id: first.id }, askedOf(options))),
    extend: ({ key, signal, ...input }) => told(jobs.extendJob({ id: first.id, ...input }, keyOf({ key, signal }))),
    stop: (options) => told(jobs.stopJob({ id: first.id }, keyOf(options))),
  };
}
