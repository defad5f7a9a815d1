/** The typed client against the real surface, with networks that break. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { BillingService, FileService, JobService, ReceiptService } from '@tallystick/proto';
import { refuse } from '../index.ts';
import { bytesOf, RAW_BODY_BYTES_MAX_TOY, startToy, type Toy } from '../testing/toy-platform.ts';
import { ApiError, ATTEMPTS_MAX, createRestClient, download, type Retry, upload } from './index.ts';

let toy: Toy;
before(async () => {
  toy = await startToy({ listen: true });
});
after(() => toy[Symbol.asyncDispose]());

const JOB = `job_${'0'.repeat(32)}`;
const SANDBOX = `sbx_${'0'.repeat(32)}`;
const connection = () => ({ baseUrl: toy.url, token: 'key1' });

/** Answers of one method, one per call; the last stays. */
function script(method: string, ...answers: (() => unknown)[]): void {
  let count = 0;
  toy.answers.set(method, () => answers[Math.min(count++, answers.length - 1)]?.());
}

const callsOf = (method: string) => toy.seen.filter((seen) => seen.method === method);

test('requests and answers are typed messages: bigint money, enums, times', async () => {
  script('CreateJob', () => ({
    id: JOB,
    maxTotalSpendMicros: 9007199254740991n,
    status: 1,
    createdAt: { seconds: 5n, nanos: 0 },
  }));
  const jobs = createRestClient(JobService, connection());
  let replayed: string | null = '';
  const onHeaders = (headers: Headers) => {
    replayed = headers.get('idempotent-replayed');
  };
  const job = await jobs.createJob(
    { label: 'ü "x"', maxTotalSpendMicros: 9007199254740991n },
    { idempotencyKey: 'k1', onHeaders },
  );
  assert.deepEqual(
    [job.id, job.maxTotalSpendMicros, job.status, job.createdAt?.seconds, replayed],
    [JOB, 9007199254740991n, 1, 5n, null],
  );
  const { call, request } = callsOf('CreateJob').at(-1)!;
  assert.equal(call.idempotencyKey, 'k1');
  assert.equal((request as { label?: string }).label, 'ü "x"');
  await jobs.createJob({ label: 'ü "x"', maxTotalSpendMicros: 9007199254740991n }, { idempotencyKey: 'k1', onHeaders });
  assert.equal(replayed, 'true');
});

test('path and query fields travel where the contract says', async () => {
  const jobs = createRestClient(JobService, { ...connection(), baseUrl: `${toy.url}/` });
  await jobs.getJob({ id: JOB });
  assert.equal((callsOf('GetJob').at(-1)!.request as { id?: string }).id, JOB);
  await jobs.listJobs({ pageSize: 5, status: [1, 2], pageToken: 'a&b=c' });
  const listed = callsOf('ListJobs').at(-1)!.request as { pageSize?: number; status?: number[]; pageToken?: string };
  assert.deepEqual([listed.pageSize, listed.status, listed.pageToken], [5, [1, 2], 'a&b=c']);
  await assert.rejects(jobs.getJob({}), /id is needed/);
});

test('a problem is thrown as ApiError with its whole body, at once', async () => {
  script('ExtendJob', () => {
    throw refuse('JOB_NOT_ACTIVE', { status: 'stopped', reason: 'job_cap' });
  });
  const retries: Retry[] = [];
  const jobs = createRestClient(JobService, { ...connection(), onRetry: (retry) => retries.push(retry) });
  const fault = await jobs.extendJob({ id: JOB, addTtlMs: 1n }).catch((thrown: unknown) => thrown);
  assert.ok(fault instanceof ApiError);
  assert.deepEqual(
    [fault.status, fault.code, fault.problem['reason'], retries.length],
    [422, 'job_not_active', 'job_cap', 0],
  );
  const invalid = await jobs.extendJob({ id: 'x' }).catch((thrown: unknown) => thrown);
  assert.ok(invalid instanceof ApiError);
  assert.deepEqual(
    (invalid.problem['errors'] as { pointer: string }[]).map(({ pointer }) => pointer),
    ['/id', ''],
  );
});

const repeatable: [name: string, fault: () => unknown][] = [
  ['503', () => refuse('OUTCOME_UNKNOWN', { retry_after_ms: 1 })],
  ['429', () => refuse('QUEUE_FULL', { retry_after_ms: 1 })],
];
for (const [name, fault] of repeatable)
  test(`${name} is repeated with the same key, until it works or the attempts are used up`, async () => {
    const fails = () => {
      throw fault();
    };
    script('StopJob', fails, fails, () => ({ id: JOB }));
    const before = callsOf('StopJob').length;
    const retries: Retry[] = [];
    const jobs = createRestClient(JobService, { ...connection(), onRetry: (retry) => retries.push(retry) });
    assert.equal((await jobs.stopJob({ id: JOB })).id, JOB);
    const keys = callsOf('StopJob')
      .slice(before)
      .map(({ call }) => call.idempotencyKey);
    assert.deepEqual([keys.length, new Set(keys).size], [3, 1]);
    assert.deepEqual(
      retries.map(({ attempt }) => attempt),
      [1, 2],
    );
    script('StopJob', fails);
    const limited = createRestClient(JobService, { ...connection(), attemptsMax: 2 });
    await assert.rejects(limited.stopJob({ id: JOB }), ApiError);
    assert.equal(callsOf('StopJob').length, before + 5);
    assert.ok(ATTEMPTS_MAX > 2);
  });

test('a broken network is repeated with the same key: the answer that was lost is the one that is replayed', async () => {
  script('CreateDevelopmentDeposit', () => ({ amountMicros: 7n }));
  let count = 0;
  const lossy: typeof fetch = async (...request) => {
    const response = await fetch(...request);
    if (++count < 3) throw new TypeError('fetch failed');
    return response;
  };
  let replayed: string | null = null;
  const billing = createRestClient(BillingService, { ...connection(), fetch: lossy });
  const onHeaders = (headers: Headers) => {
    replayed = headers.get('idempotent-replayed');
  };
  const deposit = await billing.createDevelopmentDeposit({ amountMicros: 7n }, { onHeaders });
  assert.deepEqual([deposit.amountMicros, replayed, count], [7n, 'true', 3]);
});

test('an aborted signal ends the repeating', async () => {
  const controller = new AbortController();
  const fetchNothing: typeof fetch = () => Promise.reject(new TypeError('fetch failed'));
  const onRetry = () => controller.abort(new Error('enough'));
  const jobs = createRestClient(JobService, { ...connection(), fetch: fetchNothing, onRetry });
  await assert.rejects(jobs.getJob({ id: JOB }, { signal: controller.signal }), /enough/);
});

test('answers of other software are problems too', async () => {
  const gateway: typeof fetch = () =>
    Promise.resolve(new Response('<html>bad gateway', { status: 502, statusText: 'Bad Gateway' }));
  const jobs = createRestClient(JobService, { ...connection(), fetch: gateway });
  const fault = await jobs.getJob({ id: JOB }).catch((thrown: unknown) => thrown);
  assert.ok(fault instanceof ApiError);
  assert.deepEqual([fault.status, fault.code, fault.message], [502, 'http_502', '<html>bad gateway']);
});

test('fields and enum words of a newer platform are ignored', async () => {
  const newer: typeof fetch = () =>
    Promise.resolve(Response.json({ id: JOB, status: 'teleported', new_field: { x: 1 } }));
  const job = await createRestClient(JobService, { ...connection(), fetch: newer }).getJob({ id: JOB });
  assert.deepEqual([job.id, job.status], [JOB, 0]);
});

test('upload: bytes, and a stream that is made anew for every attempt', async () => {
  const request = { id: SANDBOX, path: 'a' };
  await upload(FileService.method.uploadFile, request, Buffer.from('bytes'), connection());
  assert.equal(callsOf('UploadFile').at(-1)!.body, 'bytes');
  script('UploadFile', () => {
    toy.answers.delete('UploadFile');
    throw refuse('PROVIDER_UNREACHABLE', { provider: 'local', retry_after_ms: 1 });
  });
  const before = callsOf('UploadFile').length;
  await upload(FileService.method.uploadFile, request, () => bytesOf('a', 'b', 'c'), connection());
  assert.deepEqual(
    callsOf('UploadFile')
      .slice(before)
      .map(({ body }) => body),
    ['abc', 'abc'],
  );
});

test('upload: a body beyond the limit is refused in words, announced or not, and the connection lives', async () => {
  const request = { id: SANDBOX, path: 'a' };
  const big = Buffer.alloc(RAW_BODY_BYTES_MAX_TOY + 1);
  for (const body of [big, () => bytesOf(big.toString(), 'x')]) {
    const fault = await upload(FileService.method.uploadFile, request, body, connection()).catch(
      (thrown: unknown) => thrown,
    );
    assert.ok(fault instanceof ApiError, String(fault));
    assert.deepEqual([fault.code, fault.problem['cap_bytes']], ['body_too_large', RAW_BODY_BYTES_MAX_TOY]);
  }
});

test('download: bytes as they come, and a stream that breaks off is an error', async () => {
  const request = { id: SANDBOX, path: 'a' };
  script('DownloadFile', () => ({ stream: bytesOf('one', 'two'), headers: { 'x-file-bytes': '6' } }));
  const { stream, headers } = await download(FileService.method.downloadFile, request, connection());
  assert.deepEqual([await new Response(stream).text(), headers.get('x-file-bytes')], ['onetwo', '6']);
  script('DownloadFile', () => ({
    stream: (async function* () {
      yield* bytesOf('one');
      throw new Error('the machine is gone');
    })(),
  }));
  const broken = await download(FileService.method.downloadFile, request, connection());
  await assert.rejects(new Response(broken.stream).text());
  const all = await download(ReceiptService.method.exportReceipts, {}, connection());
  assert.equal(all.headers.get('content-type'), 'application/jsonl');
});

test('a caller that leaves a download ends its stream', async () => {
  const ended = Promise.withResolvers<void>();
  const endless = async function* () {
    try {
      for (;;) yield Buffer.alloc(1000);
    } finally {
      ended.resolve();
    }
  };
  toy.answers.set('DownloadFile', () => ({ stream: endless() }));
  const { stream } = await download(FileService.method.downloadFile, { id: SANDBOX, path: 'a' }, connection());
  const reader = stream.getReader();
  await reader.read();
  await reader.cancel();
  await ended.promise;
});

test('a caller that leaves aborts the signal of the handler', async () => {
  const gone = Promise.withResolvers<void>();
  const controller = new AbortController();
  toy.answers.set('GetBalance', async (_request, call) => {
    call.signal.addEventListener('abort', () => gone.resolve(), { once: true });
    controller.abort(new Error('left'));
    await gone.promise;
    return {};
  });
  const billing = createRestClient(BillingService, connection());
  await assert.rejects(billing.getBalance({}, { signal: controller.signal }), /left/);
  await gone.promise;
});

test('the client half imports nothing of Node and nothing of the server half', () => {
  const server = /from '(node:|fastify|ws|@bufbuild\/protovalidate'|.*\/(dispatch|rest|live|problem|fingerprint)\.ts)/;
  const own = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const shared = ['contract.ts', 'message-reader.ts', 'refusal.ts', 'rest-json.ts', 'live-protocols.ts'].map(
    (name) => `../${name}`,
  );
  for (const name of [...own, ...shared])
    assert.doesNotMatch(readFileSync(new URL(name, import.meta.url), 'utf8'), server, name);
});
