/**
 * What is known of a job: a bounded spending window in which sandboxes run.
 * Promise: plain JSON that only events change.
 */
import { countIn, type DomainEvent, flagIn, type JsonObject, optionalIn, textIn } from '@tallystick/kernel';
import { type ClampState, mergeClamps } from './clamp.ts';

export type JobStatus = '' | 'active' | 'stopped' | 'expired' | 'stopped_due_to_budget' | 'stopped_due_to_idle';

/** A sandbox that has not ended, as far as its job must know it. */
export type AttachedSandbox = {
  id: string;
  /** A command runs in it. */
  is_busy: boolean;
  /** It was said to be active until then. */
  active_until_us: string;
  /** Where in the log what was told last stands: what is told later of an earlier moment changes nothing. */
  touched_pos: number;
};

export type JobState = {
  id: string;
  owner: string;
  label: string;
  status: JobStatus;
  max_total_spend_micros: string;
  ttl_ms: number;
  idle_timeout_ms: number | null;
  sandboxes_max: number;
  created_at_us: string;
  expires_at_us: string;
  last_activity_at_us: string;
  stopped_at_us: string | null;
  stop_reason: string;
  clamps: ClampState[];
  sandboxes: AttachedSandbox[];
};

export const NO_JOB: JobState = {
  id: '',
  owner: '',
  label: '',
  status: '',
  max_total_spend_micros: '0',
  ttl_ms: 0,
  idle_timeout_ms: null,
  sandboxes_max: 0,
  created_at_us: '0',
  expires_at_us: '0',
  last_activity_at_us: '0',
  stopped_at_us: null,
  stop_reason: '',
  clamps: [],
  sandboxes: [],
};

const US_PER_MS = 1_000n;

/** The moment from which the job counts as idle; undefined while a command runs in it or it has no idle timeout. */
export function jobIdleAtUs(job: JobState): bigint | undefined {
  if (job.idle_timeout_ms === null || job.sandboxes.some(({ is_busy }) => is_busy)) return undefined;
  const active = [job.last_activity_at_us, ...job.sandboxes.map(({ active_until_us }) => active_until_us)];
  const lastUs = active.map(BigInt).reduce((a, b) => (a > b ? a : b));
  return lastUs + BigInt(job.idle_timeout_ms) * US_PER_MS;
}

export function evolveJob(job: JobState, { type, body }: DomainEvent): JobState {
  switch (type) {
    case 'JobOpened':
      return opened(body);
    case 'JobExtended':
      return {
        ...job,
        max_total_spend_micros: textIn(body, 'max_total_spend_micros'),
        ttl_ms: countIn(body, 'ttl_ms'),
        expires_at_us: textIn(body, 'expires_at_us'),
        clamps: mergeClamps(job.clamps, body['clamps'] as ClampState[]),
      };
    case 'JobStopped':
      return {
        ...job,
        status: textIn(body, 'status') as JobStatus,
        stop_reason: textIn(body, 'reason'),
        stopped_at_us: textIn(body, 'stopped_at_us'),
      };
    case 'SandboxAttached':
      return { ...touched(job, body), sandboxes: [...job.sandboxes, attached(body)] };
    case 'SandboxDetached':
      return { ...touched(job, body), sandboxes: others(job, body) };
    case 'JobTouched':
      return { ...touched(job, body), sandboxes: job.sandboxes.map((one) => touchedIn(one, body)) };
    case 'SandboxStopAsked':
      return job;
    default:
      throw new TypeError(`a job knows no event ${type}`);
  }
}

function opened(body: JsonObject): JobState {
  const createdAtUs = textIn(body, 'created_at_us');
  return {
    ...NO_JOB,
    id: textIn(body, 'id'),
    owner: textIn(body, 'owner'),
    label: textIn(body, 'label'),
    status: 'active',
    max_total_spend_micros: textIn(body, 'max_total_spend_micros'),
    ttl_ms: countIn(body, 'ttl_ms'),
    idle_timeout_ms: optionalIn(body, 'idle_timeout_ms', countIn),
    sandboxes_max: countIn(body, 'sandboxes_max'),
    created_at_us: createdAtUs,
    expires_at_us: textIn(body, 'expires_at_us'),
    last_activity_at_us: createdAtUs,
    clamps: body['clamps'] as ClampState[],
  };
}

const attached = (body: JsonObject): AttachedSandbox => ({
  id: textIn(body, 'sandbox'),
  is_busy: false,
  active_until_us: '0',
  touched_pos: -1,
});

const others = (job: JobState, body: JsonObject): AttachedSandbox[] =>
  job.sandboxes.filter(({ id }) => id !== textIn(body, 'sandbox'));

const touched = (job: JobState, body: JsonObject): JobState => ({ ...job, last_activity_at_us: textIn(body, 'at_us') });

const touchedIn = (one: AttachedSandbox, body: JsonObject): AttachedSandbox =>
  one.id === textIn(body, 'sandbox')
    ? {
        ...one,
        is_busy: flagIn(body, 'is_busy'),
        active_until_us: textIn(body, 'active_until_us'),
        touched_pos: countIn(body, 'at_pos'),
      }
    : one;
