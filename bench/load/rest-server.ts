/**
 * The server side of the benchmark `rest`, a program of its own: `node rest-server.ts surface|fastify`.
 * Promise: both kinds answer the same request with the same bytes, from memory; the parent asks it for its CPU time.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { JobService, JobStatus } from '@tallystick/proto';
import {
  type Call,
  createDispatch,
  createRestServer,
  implement,
  type Principal,
  refuse,
  registerRest,
} from '@tallystick/surface';
import Fastify, { type FastifyInstance } from 'fastify';

/** What a caller of either kind must bring. */
export const CREDENTIAL_SECRET = 'c2VjcmV0LW9mLXRoZS1iZW5jaG1hcms';
export const ROUTE = '/v1/jobs';
const ANSWERS_KEPT_MAX = 1_000;
const CREATED_AT_S = 1_767_225_600n;

interface CreateJob {
  label: string;
  maxTotalSpendMicros: bigint;
}

const time = (seconds: bigint) => ({ seconds, nanos: 0 });

function jobOf({ label, maxTotalSpendMicros }: CreateJob) {
  const clamp = { field: 'max_total_spend_micros', requested: maxTotalSpendMicros, effective: maxTotalSpendMicros };
  return {
    id: 'job_00000000000000000000000000000001',
    label,
    status: JobStatus.ACTIVE,
    maxTotalSpendMicros,
    spentMicros: 0n,
    remainingMicros: maxTotalSpendMicros,
    ttlMs: 86_400_000n,
    sandboxesMax: 20,
    sandboxesRunning: 0,
    createdAt: time(CREATED_AT_S),
    expiresAt: time(CREATED_AT_S + 86_400n),
    stopReason: '',
    clamps: [{ ...clamp, rule: '' }],
    receiptId: 'rcp_00000000000000000000000000000001',
  };
}

/** Answers by key, as the engine keeps them: the same key with another request is refused. Two maps in turn forget the oldest. */
function rememberingAnswers() {
  type Answer = { fingerprint: string; job: ReturnType<typeof jobOf> };
  let [young, old] = [new Map<string, Answer>(), new Map<string, Answer>()];
  return (request: CreateJob, { principal, idempotencyKey, fingerprint }: Call) => {
    const key = `${principal!.id} ${idempotencyKey}`;
    const known = young.get(key) ?? old.get(key);
    if (known && known.fingerprint !== fingerprint) throw refuse('IDEMPOTENCY_KEY_REUSED');
    if (known) return known.job;
    const job = jobOf(request);
    young.set(key, { fingerprint, job });
    if (young.size > ANSWERS_KEPT_MAX) [young, old] = [new Map(), young];
    return job;
  };
}

/** As the api does it, with the key's row in memory. */
function authenticateFrom(secret: string): (token: string) => Principal | undefined {
  const kept = hash('sha256', secret, 'buffer');
  const principal = { id: 'eip155:1:0x00000000000000000000000000000000000000aa', keyId: 'key_1' };
  const scopes = new Set(['jobs:read', 'jobs:write']);
  return (token) => {
    const offered = hash('sha256', token, 'buffer');
    return timingSafeEqual(offered, kept) ? { ...principal, scopes } : undefined;
  };
}

const notAsked = (): never => {
  throw new Error('the benchmark only creates jobs');
};

function surfaceServer(): FastifyInstance {
  const answer = rememberingAnswers();
  const jobs = implement(JobService, {
    createJob: (request, call) => answer(request, call),
    listJobs: notAsked,
    getJob: notAsked,
    extendJob: notAsked,
    stopJob: notAsked,
  });
  const authenticate = authenticateFrom(CREDENTIAL_SECRET);
  const dispatch = createDispatch({ implementations: [jobs], authenticate });
  const app = createRestServer(console.error);
  registerRest(app, dispatch, { log: console.error });
  return app;
}

/** Nothing but parsing, routing and printing: no credential, no contract, no key. */
function rawServer(): FastifyInstance {
  const app = Fastify({ logger: false });
  app.post(ROUTE, async (request) => {
    const { label, max_total_spend_micros: micros } = request.body as Record<string, unknown>;
    const clamp = { field: 'max_total_spend_micros', requested: micros, effective: micros, rule: '' };
    return {
      id: 'job_00000000000000000000000000000001',
      label,
      status: 'active',
      max_total_spend_micros: micros,
      spent_micros: 0,
      remaining_micros: micros,
      ttl_ms: 86_400_000,
      idle_timeout_ms: null,
      sandboxes_max: 20,
      sandboxes_running: 0,
      created_at: '2026-01-01T00:00:00Z',
      expires_at: '2026-01-02T00:00:00Z',
      stopped_at: null,
      stop_reason: '',
      clamps: [clamp],
      receipt_id: 'rcp_00000000000000000000000000000001',
    };
  });
  return app;
}

if (import.meta.main) {
  const app = process.argv[2] === 'surface' ? surfaceServer() : rawServer();
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  process.on('message', () => process.send?.(process.cpuUsage()));
  process.on('disconnect', () => process.exit());
  process.send?.({ url });
}
