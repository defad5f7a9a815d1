/**
 * Jobs over the API: from requests to commands, from states to messages.
 * Promise: nothing is decided here; who does not own a job is told that there is none.
 */
import { type Engine, listStreams, readBalances, readStream, type StreamRow } from '@tallystick/engine';
import type { JobState } from '@tallystick/hosting';
import { type JsonObject, jobCapAccount } from '@tallystick/kernel';
import { JobService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import { freshId } from '../ids.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { nextToken, type Page, pageOf } from '../page.ts';
import { jobMessage, jobStatusWords } from '../views/job.ts';

const JOBS_PER_PAGE = 50;

export const jobHandlers = (engine: Engine) =>
  implement(JobService, {
    async createJob(request, call) {
      const body = {
        label: request.label,
        max_total_spend_micros: String(request.maxTotalSpendMicros),
        ttl_ms: numberOrNull(request.ttlMs),
        idle_timeout_ms: numberOrNull(request.idleTimeoutMs),
        sandboxes_max: request.sandboxesMax ?? null,
      };
      return changeJob(engine, call, freshId('job'), 'OpenJob', body);
    },
    async listJobs(request, call) {
      const page = pageOf(request, JOBS_PER_PAGE);
      const owner = call.principal!.id;
      const wanted = jobStatusWords(request.status);
      const rows = await jobRows(engine, owner, page, wanted);
      const jobs = await Promise.all(
        rows.map(({ state, receiptId }) => jobOf(engine, state as unknown as JobState, receiptId)),
      );
      return { jobs, nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos) };
    },
    async getJob({ id }, call) {
      const head = await ownJob(engine, call, id);
      return jobOf(engine, head.state, head.receiptId);
    },
    async extendJob({ id, addSpendMicros, addTtlMs }, call) {
      await ownJob(engine, call, id);
      const body = {
        add_spend_micros: addSpendMicros === undefined ? null : String(addSpendMicros),
        add_ttl_ms: numberOrNull(addTtlMs),
      };
      return changeJob(engine, call, id, 'ExtendJob', body);
    },
    async stopJob({ id }, call) {
      await ownJob(engine, call, id);
      return changeJob(engine, call, id, 'StopJob', {});
    },
  });

export const numberOrNull = (value: bigint | undefined): number | null => (value === undefined ? null : Number(value));

async function changeJob(engine: Engine, call: Call, id: string, type: string, body: JsonObject) {
  const { answer, receiptId } = await executeFor(engine, call, commandFrom(call, { stream: `job:${id}`, type, body }));
  const job = answer['job'] as unknown as JobState;
  return jobMessage(job, { capAvailableMicros: BigInt(String(answer['cap_available_micros'])), receiptId });
}

/** One status is filtered by the database; of several, each page is read per status and merged, newest first. */
async function jobRows(engine: Engine, owner: string, page: Page, statuses: string[]): Promise<StreamRow[]> {
  const filters = statuses.length === 0 ? [{}] : statuses.map((status) => ({ status }));
  const lists = await Promise.all(
    filters.map((filter) => listStreams(engine, { kind: 'job', owner, ...page, filter })),
  );
  const newestFirst = lists.flat().sort((a, b) => (b.createdPos ?? 0) - (a.createdPos ?? 0));
  return newestFirst.slice(0, page.limit);
}

/** @errors throws NOT_FOUND also when it is somebody else's. */
export async function ownJob(engine: Engine, call: Call, id: string): Promise<{ state: JobState; receiptId: string }> {
  const head = await readStream(engine, `job:${id}`);
  if (!head || head.owner !== call.principal!.id) throw refuse('NOT_FOUND', {}, `there is no job ${id} for you`);
  return { state: head.state as unknown as JobState, receiptId: head.receiptId };
}

async function jobOf(engine: Engine, job: JobState, receiptId: string) {
  const [cap] = await readBalances(engine, [jobCapAccount(job.id)]);
  return jobMessage(job, { capAvailableMicros: cap?.availableMicros ?? 0n, receiptId });
}
