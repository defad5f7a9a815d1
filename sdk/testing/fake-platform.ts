/**
 * A small platform in memory behind the real REST and live surfaces, for tests of clients.
 * Promise: speaks the contract byte for byte; its machines run nothing and know a handful of programs.
 */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { parseSiwe, USUAL_SCOPES, verifyPersonalSignature } from '@tallystick/kernel';
import {
  type ApiKeySchema,
  AuthService,
  BillingService,
  ExecEndKind,
  ExecService,
  type JobSchema,
  JobService,
  JobStatus,
  ReceiptService,
  type SandboxSchema,
  SandboxService,
  SandboxStatus,
  StopReason,
} from '@tallystick/proto';
import {
  attachLive,
  type Call,
  createDispatch,
  createRestServer,
  implement,
  type Principal,
  refuse,
  registerRest,
} from '@tallystick/surface';
import { fakeChainOf } from './fake-chain.ts';
import { type FakeExec, runFake } from './fake-exec.ts';
import { fakeFilesOf, fakePathsOf } from './fake-files.ts';
import { type FakeSecrets, fakeSecretsOf, newFakeSecrets } from './fake-secrets.ts';
import { fakeSnapshotsOf } from './fake-snapshots.ts';
import { type FakeTill, newFakeTill } from './fake-till.ts';
import { type FakeWatches, fakeWatchesOf, newFakeWatches } from './fake-watch.ts';

type JobInit = MessageInitShape<typeof JobSchema>;
type SandboxInit = MessageInitShape<typeof SandboxSchema>;
type KeyInit = MessageInitShape<typeof ApiKeySchema>;

export interface FakePlatform extends AsyncDisposable {
  url: string;
  /** Every change, as `key method`. */
  changes: string[];
  execs: Map<string, FakeExec>;
  files: Map<string, Buffer>;
  secrets: FakeSecrets;
  watches: FakeWatches;
  keys: Map<string, KeyInit & { secret: string }>;
  /** How many of the next requests are answered by 503. */
  unavailable: number;
  /** Asks for payments, when it has a price. */
  till: FakeTill;
  /** A key for a wallet that never logged in; says its secret. */
  addKey(): string;
  /** Cuts every live connection. */
  cutLive(): void;
}

const AT = { seconds: 1_790_000_000n, nanos: 0 };
const LATER = { seconds: 1_790_003_600n, nanos: 0 };
const PRICE_MICROS = 453n;

const receiptId = (count: number): string => `rcp_${String(count).padStart(32, '0')}`;

/** Ids count up, so that golden files stay the same. */
const idsFrom = (): ((prefix: string) => string) => {
  let count = 0;
  return (prefix) => `${prefix}_${String(++count).padStart(32, '0')}`;
};

interface State {
  fake: Pick<FakePlatform, 'changes' | 'execs' | 'files' | 'secrets' | 'keys' | 'till'> & { unavailable: number };
  watches: ReturnType<typeof newFakeWatches>;
  newId: (prefix: string) => string;
  jobs: Map<string, JobInit>;
  sandboxes: Map<string, SandboxInit>;
  nonces: Map<string, string>;
  depositedMicros: bigint;
  url: string;
}

/** Starts it on a free port of the loopback. */
export async function startFakePlatform(): Promise<FakePlatform> {
  const watches = newFakeWatches();
  const state: State = {
    watches,
    fake: {
      changes: [],
      execs: new Map(),
      files: new Map(),
      secrets: newFakeSecrets(),
      keys: new Map(),
      unavailable: 0,
      till: newFakeTill(),
    },
    newId: idsFrom(),
    jobs: new Map(),
    sandboxes: new Map(),
    nonces: new Map(),
    depositedMicros: 0n,
    url: '',
  };
  const authenticate = (token: string): Principal | undefined => principalOf(state, token);
  const app = createRestServer(console.error);
  app.addHook('onRequest', async () => {
    if (state.fake.unavailable > 0) {
      state.fake.unavailable--;
      throw refuse('NOT_READY', { waiting_for: 'the test', retry_after_ms: 1 });
    }
  });
  app.addHook('onRequest', async (request, reply) => {
    const { status, headers, body } = state.fake.till.answer(request, accountOf(state, request.headers.authorization));
    reply.headers(headers);
    if (status !== undefined) return reply.code(status).send(body);
  });
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async () => ({ status: 'ok', checks: { database: 'ok', provider: 'ok' } }));
  registerRest(app, createDispatch({ implementations: implementationsOf(state), authenticate }), {
    log: console.error,
  });
  const live = attachLive(app.server, {
    authenticate,
    open: (topic) => {
      const [kind, , id = ''] = topic.split('/');
      return kind === 'watch' ? watches.topic(id) : state.fake.execs.get(id)?.topic;
    },
    log: console.error,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  state.url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  return Object.assign(state.fake, {
    url: state.url,
    watches,
    cutLive: () => live.terminateAll(),
    addKey: () => {
      const id = state.newId('key');
      const secret = `tly_${id}`;
      const principal = `eip155:8453:0x${'1'.repeat(40)}`;
      state.fake.keys.set(id, {
        id,
        secret,
        principal,
        scopes: [...USUAL_SCOPES],
        label: 'added',
        createdAt: AT,
        expiresAt: LATER,
      });
      return secret;
    },
    async [Symbol.asyncDispose]() {
      await live[Symbol.asyncDispose]();
      await app.close();
    },
  });
}

const accountOf = (state: State, authorization = ''): string =>
  principalOf(state, authorization.replace(/^Bearer /, ''))?.id ?? '';

function principalOf({ fake }: State, token: string): Principal | undefined {
  const key = [...fake.keys.values()].find(({ secret, revokedAt }) => secret === token && !revokedAt);
  return key && { id: key.principal!, keyId: key.id!, scopes: new Set(key.scopes) };
}

const implementationsOf = (state: State) => [
  authOf(state),
  jobServiceOf(state),
  sandboxServiceOf(state),
  execServiceOf(state),
  fakeFilesOf(state.fake.files, (method, call) => changed(state, method, call)),
  fakePathsOf(state.fake.files, (method, call) => changed(state, method, call)),
  fakeWatchesOf(state.watches, (method, call) => changed(state, method, call)),
  secretServiceOf(state),
  snapshotServiceOf(state),
  receiptServiceOf(),
  billingOf(state),
  ...fakeChainOf(state.fake.till, (method, call) => changed(state, method, call)),
];

const changed = ({ fake }: State, method: string, call: Call): void =>
  void fake.changes.push(`${call.idempotencyKey} ${method}`);

function authOf(state: State) {
  return implement(AuthService, {
    createNonce: ({ address }) => {
      const nonce = randomUUID().replaceAll('-', '');
      state.nonces.set(nonce, address);
      return {
        nonce,
        expiresAt: { seconds: BigInt(Math.floor(Date.now() / 1000) + 300), nanos: 0 },
        domain: new URL(state.url).host,
        uri: state.url,
        chainIds: [8453n],
      };
    },
    verifyLogin: ({ message, signature, scopes, label }) => {
      const siwe = parseSiwe(message);
      if ('error' in siwe) throw refuse('LOGIN_MESSAGE_MALFORMED', { cause: siwe.error });
      if (!state.nonces.delete(siwe.nonce)) throw refuse('LOGIN_NONCE_REFUSED');
      if (verifyPersonalSignature(message, signature) !== siwe.address) throw refuse('LOGIN_SIGNATURE_REFUSED');
      const id = state.newId('key');
      const granted = scopes.length > 0 ? [...scopes] : [...USUAL_SCOPES];
      const principal = `eip155:${siwe.chainId}:${siwe.address.toLowerCase()}`;
      const key = { id, secret: `tly_${id}`, principal, scopes: granted, label, createdAt: AT, expiresAt: LATER };
      state.fake.keys.set(id, key);
      return key;
    },
    listApiKeys: () => ({ keys: [...state.fake.keys.values()].map(({ secret: _, ...key }) => key) }),
    revokeApiKey: ({ id }, call) => {
      const key = state.fake.keys.get(id);
      if (!key) throw refuse('NOT_FOUND');
      changed(state, 'revokeApiKey', call);
      const { secret: _, ...shown } = Object.assign(key, { revokedAt: AT });
      return shown;
    },
  });
}

function found<T>(values: Map<string, T>, id: string): T {
  const value = values.get(id);
  if (!value) throw refuse('NOT_FOUND');
  return value;
}

function jobServiceOf(state: State) {
  const { jobs } = state;
  return implement(JobService, {
    createJob: (request, call) => {
      changed(state, 'createJob', call);
      const id = state.newId('job');
      const micros = request.maxTotalSpendMicros;
      const effective = micros > 5_000_000n ? 5_000_000n : micros;
      const clamps = [
        {
          field: 'max_total_spend_micros',
          requested: micros,
          effective,
          rule: effective === micros ? '' : 'user_policy',
        },
      ];
      const job: JobInit = {
        id,
        label: request.label,
        status: JobStatus.ACTIVE,
        maxTotalSpendMicros: effective,
        remainingMicros: effective,
        ttlMs: request.ttlMs ?? 86_400_000n,
        sandboxesMax: 20,
        createdAt: AT,
        expiresAt: LATER,
        clamps,
        receiptId: receiptId(1),
      };
      jobs.set(id, job);
      return job;
    },
    // one per page, so that clients must turn pages
    listJobs: ({ pageToken }) => {
      const all = [...jobs.values()].reverse();
      const at = Number(pageToken || 0);
      return { jobs: all.slice(at, at + 1), nextPageToken: at + 1 < all.length ? String(at + 1) : '' };
    },
    getJob: ({ id }) => found(jobs, id),
    extendJob: ({ id, addSpendMicros }, call) => {
      changed(state, 'extendJob', call);
      const job = found(jobs, id);
      return Object.assign(job, { maxTotalSpendMicros: BigInt(job.maxTotalSpendMicros ?? 0) + (addSpendMicros ?? 0n) });
    },
    stopJob: ({ id }, call) => {
      changed(state, 'stopJob', call);
      return Object.assign(found(jobs, id), {
        status: JobStatus.STOPPED,
        stoppedAt: AT,
        stopReason: 'stopped_by_owner',
      });
    },
  });
}

function sandboxServiceOf(state: State) {
  const { sandboxes } = state;
  const end = (id: string, method: string, call: Call): SandboxInit => {
    const sandbox = found(sandboxes, id);
    if (sandbox.status === SandboxStatus.ENDED) throw refuse('SANDBOX_ENDED', { stop_reason: 'stopped_by_owner' });
    changed(state, method, call);
    return Object.assign(sandbox, {
      status: SandboxStatus.ENDED,
      stopReason: StopReason.STOPPED_BY_OWNER,
      stoppedAt: AT,
    });
  };
  return implement(SandboxService, {
    createSandbox: ({ jobId, label, maxSpendMicros, quantumMs, snapshotId, onEnd }, call) => {
      const job = found(state.jobs, jobId);
      const availableMicros = BigInt(job.remainingMicros ?? 0);
      if (availableMicros < PRICE_MICROS)
        throw refuse('JOB_CAP_EXCEEDED', {
          cap_micros: Number(job.maxTotalSpendMicros),
          required_micros: Number(PRICE_MICROS),
          available_micros: Number(availableMicros),
        });
      changed(state, 'createSandbox', call);
      const id = state.newId('sbx');
      const sandbox: SandboxInit = {
        id,
        jobId,
        label,
        status: SandboxStatus.RUNNING,
        image: 'sandbox-base:v1.0.0',
        isolation: 'mock',
        provider: 'fake',
        cpuMillis: 1000,
        ramMib: 512,
        diskMib: 512,
        priceMicrosPerMinute: PRICE_MICROS,
        quantumMs: quantumMs ?? 60_000n,
        minutesSold: 1n,
        spentMicros: PRICE_MICROS,
        maxSpendMicros: maxSpendMicros ?? availableMicros,
        paidUntil: LATER,
        createdAt: AT,
        startedAt: AT,
        receiptId: receiptId(2),
        incarnation: 1,
        fromSnapshotId: snapshotId,
        onEnd,
      };
      sandboxes.set(id, sandbox);
      return sandbox;
    },
    listSandboxes: ({ jobId }) => ({
      sandboxes: [...sandboxes.values()].filter((one) => jobId === '' || one.jobId === jobId),
    }),
    getSandbox: ({ id }) => found(sandboxes, id),
    extendSandbox: ({ id, addSpendMicros }, call) => {
      changed(state, 'extendSandbox', call);
      const sandbox = found(sandboxes, id);
      return Object.assign(sandbox, { maxSpendMicros: BigInt(sandbox.maxSpendMicros ?? 0) + (addSpendMicros ?? 0n) });
    },
    touchSandbox: ({ id, reason }, call) => {
      changed(state, `touchSandbox ${reason}`, call);
      return Object.assign(found(sandboxes, id), { lastActivityAt: AT, lastActivityCause: 'touch' });
    },
    stopSandbox: ({ id }, call) => end(id, 'stopSandbox', call),
    destroySandbox: ({ id }, call) => end(id, 'destroySandbox', call),
  });
}

function execServiceOf(state: State) {
  const shown = (run: FakeExec, isWhole: boolean) => ({
    execId: run.execId,
    sandboxId: run.sandboxId,
    running: run.end === undefined,
    ...(run.end
      ? {
          end: ExecEndKind[run.end.end.toUpperCase() as 'EXITED'],
          startError: run.end.startError ?? '',
          ...(run.end.exitCode === undefined ? {} : { exitCode: run.end.exitCode }),
        }
      : {}),
    ...(isWhole && run.end ? { stdout: run.stdout, stderr: run.stderr } : { more: run.stdout + run.stderr !== '' }),
    receiptId: receiptId(3),
    program: run.argv[0] ?? '',
    ...(run.tty ? { tty: run.tty } : {}),
    startedAt: AT,
  });
  return implement(ExecService, {
    execSandbox: async (request, call) => {
      const sandbox = found(state.sandboxes, request.id);
      if (sandbox.status === SandboxStatus.ENDED) throw refuse('SANDBOX_ENDED', { stop_reason: 'stopped_by_owner' });
      const known = state.fake.execs.get(request.execId);
      const env = { ...request.env, ...secretEnv(state, request.id, request.secrets) };
      if (!known) changed(state, `exec ${request.argv.join(' ')}`, call);
      const run = known ?? runFake({ ...request, env });
      state.fake.execs.set(request.execId, run);
      if (run.end?.end === 'lease_ended')
        Object.assign(sandbox, { status: SandboxStatus.ENDED, stopReason: StopReason.JOB_CAP });
      return shown(run, (request.waitMs ?? 10_000n) > 0n);
    },
    getExec: ({ execId }) => shown(found(state.fake.execs, execId), true),
    listExecs: ({ id }) => ({
      execs: [...state.fake.execs.values()].filter((run) => run.sandboxId === id).map((run) => shown(run, false)),
    }),
    writeExecStdin: async ({ id, execId, at, end }, call) => {
      const bytes = Buffer.concat(await Array.fromAsync(call.body ?? []));
      const position = found(state.fake.execs, execId).type(bytes, Number(at), end);
      return { sandboxId: id, execId, position: BigInt(position) };
    },
    resizeExec: ({ execId, columns, rows }) => {
      const run = found(state.fake.execs, execId);
      run.tty = { columns, rows };
      return shown(run, false);
    },
    signalExec: ({ execId, signal }, call) => {
      changed(state, `signal ${signal}`, call);
      const run = found(state.fake.execs, execId);
      run.kill();
      return shown(run, true);
    },
  });
}

const snapshotServiceOf = (state: State) =>
  fakeSnapshotsOf(
    state.newId,
    (id) => void found(state.sandboxes, id),
    (method, call) => changed(state, method, call),
  );

const secretServiceOf = (state: State) =>
  fakeSecretsOf(
    state.fake.secrets,
    (id) => void found(state.sandboxes, id),
    (method, call) => changed(state, method, call),
  );

function secretEnv({ fake }: State, id: string, names: readonly string[]): Record<string, string> {
  const missing = names.filter((name) => !fake.secrets.values.has(`${id} ${name}`));
  if (missing.length > 0) throw refuse('SECRETS_NOT_RELEASED', { missing: missing.join(' ') });
  return Object.fromEntries(names.map((name) => [name, fake.secrets.values.get(`${id} ${name}`) ?? '']));
}

function receiptServiceOf() {
  const receipts = [1, 2, 3].map((pos) => ({
    id: receiptId(pos),
    pos: BigInt(pos),
    stream: `job:${pos}`,
    seq: 1n,
    command: 'OpenJob',
    events: pos === 3 ? [] : ['JobOpened'],
    rejection: pos === 3 ? 'JOB_CAP_EXCEEDED' : '',
    at: AT,
    body: `{"pos":${pos}}`,
  }));
  return implement(ReceiptService, {
    listReceipts: ({ stream }) => ({ receipts: receipts.filter((one) => stream === '' || one.stream === stream) }),
    exportReceipts: () => ({
      stream: (async function* () {
        yield Buffer.from('{"type":"tallystick.export"}\n');
      })(),
    }),
    getReceipt: ({ id }) => receipts.find((one) => one.id === id) ?? found(new Map(), id),
    getCheckpoint: () => ({ note: 'note', size: 3n, verifier: 'key' }),
    getConsistencyProof: ({ from, to }) => ({ from, to, path: [] }),
  });
}

function billingOf(state: State) {
  return implement(BillingService, {
    getBalance: (_, { principal }) => ({
      principal: principal!.id,
      balanceMicros: state.depositedMicros,
      availableMicros: state.depositedMicros,
      depositedMicros: state.depositedMicros,
    }),
    createDevelopmentDeposit: ({ amountMicros }, call) => {
      changed(state, 'deposit', call);
      state.depositedMicros += amountMicros;
      return {
        id: state.newId('dep'),
        principal: call.principal!.id,
        amountMicros,
        source: 'development',
        creditedAt: AT,
        balanceMicros: state.depositedMicros,
        receiptId: receiptId(5),
      };
    },
  });
}
