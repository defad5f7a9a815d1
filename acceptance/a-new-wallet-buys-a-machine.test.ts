/**
 * What a newcomer gets: a login, money, a job, a machine that really works, and the end of it whenever they want.
 * Promise: everything goes through the public protocol, against a whole platform.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  ApiError,
  connect,
  JobStatus,
  newExecId,
  type Sandbox,
  SandboxStatus,
  StopReason,
  type Tally,
} from '@tallystick/sdk';
import { bookProblems, earnedMicros, escrowMicros, receiptsOf } from './harness/books.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { msOf } from './harness/time.ts';
import { until } from './harness/until.ts';

const SMALL = { cpuMillis: 500, ramMib: 128, diskMib: 32 } as const;
const DEPOSIT_MICROS = 1_000_000n;
const HOUR_MS = 3_600_000n;

const refusedAs = (code: string) => (fault: unknown) => {
  assert.ok(fault instanceof ApiError, String(fault));
  assert.equal(fault.code, code, fault.message);
  return true;
};

async function ended(sandbox: Sandbox): Promise<Sandbox> {
  await until(`${sandbox.id} has ended`, async () => (await sandbox.refresh()).status === SandboxStatus.ENDED);
  return sandbox;
}

async function idsOf(items: AsyncIterable<{ id: string }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of items) ids.push(id);
  return ids;
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** deposited = balance + spent, and what was spent is what its sandboxes earned or hold. */
async function assertBalance(platform: Platform, tally: Tally, depositedMicros: bigint): Promise<void> {
  const { balanceMicros, spentMicros, depositedMicros: told } = await tally.balance();
  assert.equal(told, depositedMicros);
  assert.equal(balanceMicros + spentMicros, depositedMicros);
  let micros = 0n;
  for (const id of await idsOf(tally.sandboxes.list()))
    micros += (await earnedMicros(platform.folder, id)) + (await escrowMicros(platform.folder, id));
  assert.equal(spentMicros, micros, 'spent is not what the machines took');
}

describe('a new wallet', { concurrency: 4 }, () => {
  let platform: Platform;
  before(async () => {
    platform = await startPlatform({ quantumMs: 2_000 });
  });
  after(async () => {
    assert.deepEqual(await bookProblems(platform.folder), [], '[I-09] [I-10] the books');
    await platform[Symbol.asyncDispose]();
  });

  test('[I-07] [I-13] asks for a job and a machine, and is told what it gets and what clamped it', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({
      label: 'first',
      maxTotalSpendMicros: 2_000_000_000n,
      ttlMs: HOUR_MS,
      sandboxesMax: 500,
    });
    assert.equal(job.state.status, JobStatus.ACTIVE);
    const jobClamps = job.state.clamps.map(({ field, requested, effective, rule }) => [
      field,
      requested,
      effective,
      rule,
    ]);
    assert.deepEqual(jobClamps, [
      ['max_total_spend_micros', 2_000_000_000n, 1_000_000_000n, 'user_policy'],
      ['ttl_ms', HOUR_MS, HOUR_MS, ''],
      ['sandboxes_max', 500n, 20n, 'user_policy'],
    ]);
    const asked = { cpuMillis: 9_000, ramMib: 128, diskMib: 32, ttlMs: 2n * HOUR_MS, maxSpendMicros: 3_000_000_000n };
    // This machine has no nine cores, so the policy's clamp is told and the start is refused and refunded in full.
    const large = await job.sandboxes.create(asked);
    const clamps = new Map(large.state!.clamps.map(({ field, effective, rule }) => [field, [effective, rule]]));
    assert.deepEqual(clamps.get('cpu_millis'), [4_000n, 'user_policy']);
    assert.deepEqual(clamps.get('ram_mib'), [128n, '']);
    assert.equal(clamps.get('ttl_ms')![1], 'job_remaining');
    assert.ok((clamps.get('ttl_ms')![0] as bigint) <= HOUR_MS);
    assert.deepEqual(clamps.get('max_spend_micros'), [1_000_000_000n, 'user_policy']);
    await large.destroy().catch(refusedAs('sandbox_ended'));
    await ended(large);
    await assertBalance(platform, tally, DEPOSIT_MICROS);
  });

  test('a machine runs commands: exit codes, signals, input, environment, folder, time limit', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    await using sandbox = await job.sandboxes.create(SMALL);
    const sh = (script: string, more = {}) => sandbox.exec(['sh', '-c', script], more);
    const outcome = ({ end, exitCode, signal }: Awaited<ReturnType<typeof sh>>) => [end, exitCode ?? signal];
    const hello = await sandbox.exec(['echo', 'hello']);
    assert.deepEqual([...outcome(hello), hello.stdout, hello.stderr], ['exited', 0, 'hello\n', '']);
    assert.match(hello.receiptId, /^rcp_/);
    assert.deepEqual(outcome(await sh('exit 7')), ['exited', 7]);
    assert.deepEqual(outcome(await sh('kill -TERM $$')), ['signaled', 'SIGTERM']);
    assert.equal((await sh('echo to stderr >&2')).stderr, 'to stderr\n');
    assert.equal((await sh('cat', { stdin: 'line in\n' })).stdout, 'line in\n');
    assert.equal((await sh('echo "$GREETING"', { env: { GREETING: 'good day' } })).stdout, 'good day\n');
    assert.equal((await sh('pwd', { cwd: '/tmp' })).stdout, '/tmp\n');
    const startedAtMs = performance.now();
    assert.deepEqual((await sh('sleep 30', { timeoutMs: 300n })).end, 'timeout');
    assert.ok(performance.now() - startedAtMs < 10_000, 'the time limit came late');
    for (const [program, why] of [
      ['/no/such/program', 'ENOENT'],
      ['/etc/passwd', 'EACCES'],
    ] as const)
      for (const options of [{}, { onOutput: () => undefined }]) {
        const { end, startError } = await sandbox.exec([program], options);
        assert.deepEqual([end, startError], ['not_started', why]);
      }
    const counted = { execId: newExecId(), key: 'one-exec' };
    const [first, repeat] = [
      await sh('echo x >> count; wc -l < count', counted),
      await sh('echo x >> count; wc -l < count', counted),
    ];
    assert.deepEqual([first.stdout, repeat.stdout], ['1\n', '1\n'], 'a repeat started the command again');
    const told = await until('the end of the first command is receipted', async () =>
      (await receiptsOf(platform.folder, `sandbox:${sandbox.id}`)).find(
        ({ command }) => command.type === 'FinishExec' && command.body['exec_id'] === hello.execId,
      ),
    );
    const { end, exit_code, stdout_bytes, stderr_bytes } = told.command.body;
    assert.deepEqual([end, exit_code, stdout_bytes, stderr_bytes], ['exited', 0, 6, 0]);
  });

  test('a command is followed live and stopped by a signal', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    await using sandbox = await job.sandboxes.create(SMALL);
    const run = await sandbox.execStream(['sh', '-c', 'echo one; echo two; exec sleep 60']);
    let heard = '';
    for await (const { bytes } of run) {
      heard += Buffer.from(bytes).toString();
      if (heard.includes('two\n')) await sandbox.signal(run.execId, 'SIGINT');
    }
    assert.equal(heard, 'one\ntwo\n');
    assert.deepEqual(await run.outcome, { end: 'signaled', signal: 'SIGINT' });
    let again = '';
    for await (const { bytes } of sandbox.attach(run.execId)) again += Buffer.from(bytes).toString();
    assert.equal(again, heard, 'a second reader sees the same from the beginning');
  });

  test('files and folders go in and come out byte by byte', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tally-acc-files-'));
    try {
      const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
      const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
      await using sandbox = await job.sandboxes.create(SMALL);
      const content = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 31) % 251));
      const told = await sandbox.upload('dir/data.bin', content);
      assert.equal(told.bytes, BigInt(content.length));
      const { stdout } = await sandbox.exec(['sha256sum', 'dir/data.bin']);
      assert.ok(stdout.startsWith(Buffer.from(told.sha256, 'hex').toString('hex')), stdout);
      assert.deepEqual(await bytesOf(sandbox.download('dir/data.bin')), content);
      mkdirSync(join(folder, 'tree', 'below'), { recursive: true });
      writeFileSync(join(folder, 'tree', 'a.txt'), 'a');
      writeFileSync(join(folder, 'tree', 'below', 'b.txt'), 'b');
      await sandbox.uploadTree(join(folder, 'tree'), 'in');
      assert.equal((await sandbox.exec(['cat', 'in/a.txt', 'in/below/b.txt'])).stdout, 'ab');
      const names = (await sandbox.list('in')).entries.map(({ name }) => name).sort();
      assert.deepEqual(names, ['a.txt', 'below']);
      await sandbox.downloadTree('in', join(folder, 'out'));
      assert.equal(readFileSync(join(folder, 'out', 'below', 'b.txt'), 'utf8'), 'b');
      await assert.rejects(bytesOf(sandbox.download('nothing/here')), ApiError);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('[I-05] [I-06] stops its machine: what was paid and not used comes back, the rest is spent', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
    const sandbox = await job.sandboxes.create({ ...SMALL, quantumMs: 60_000n });
    await sandbox.exec(['true']);
    const price = sandbox.state!.priceMicrosPerQuantum;
    await sandbox.stop();
    const { state } = await ended(sandbox);
    assert.equal(state!.stopReason, StopReason.STOPPED_BY_OWNER);
    const ranSeconds = BigInt(Math.ceil((msOf(state!.stoppedAt) - msOf(state!.startedAt)) / 1_000));
    assert.ok(ranSeconds <= 30n, `it ran ${ranSeconds} s`);
    assert.equal(state!.refundedMicros, (price * (60n - ranSeconds)) / 60n, 'by the second, the one in progress kept');
    assert.equal(state!.spentMicros, price - state!.refundedMicros);
    assert.equal((await job.refresh()).remainingMicros, 500_000n - state!.spentMicros, 'the job may spend it again');
    await assertBalance(platform, tally, DEPOSIT_MICROS);
    await assert.rejects(sandbox.exec(['true']), ApiError);
  });

  test('keeps two jobs apart, lists what it has page by page, and stops one job with all of its machines', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const [first, second] = [
      await tally.jobs.create({ label: 'one', maxTotalSpendMicros: 100_000n }),
      await tally.jobs.create({ label: 'two', maxTotalSpendMicros: 100_000n }),
    ];
    const [a, b, c] = await Promise.all([
      first.sandboxes.create(SMALL),
      first.sandboxes.create(SMALL),
      second.sandboxes.create(SMALL),
    ]);
    await Promise.all([a, b, c].map((sandbox) => sandbox.exec(['true'])));
    await until('the job counts its machines', async () => (await first.refresh()).sandboxesRunning === 2);
    await first.stop();
    assert.deepEqual(
      [(await ended(a)).state!.stopReason, (await ended(b)).state!.stopReason],
      [StopReason.STOPPED_BY_OWNER, StopReason.STOPPED_BY_OWNER],
    );
    assert.equal((await first.refresh()).status, JobStatus.STOPPED);
    assert.equal((await c.refresh()).status, SandboxStatus.RUNNING);
    assert.equal((await c.exec(['echo', 'alive'])).stdout, 'alive\n');
    await assert.rejects(first.sandboxes.create(SMALL), refusedAs('job_not_active'));
    assert.deepEqual(await idsOf(tally.jobs.list()), [second.id, first.id]);
    assert.deepEqual(await idsOf(tally.jobs.list({ status: [JobStatus.ACTIVE] })), [second.id]);
    assert.deepEqual(new Set(await idsOf(tally.sandboxes.list({ jobId: first.id }))), new Set([a.id, b.id]));
    const { jobs, sandboxes } = tally.services;
    const page = await jobs.listJobs({ pageSize: 1 });
    assert.deepEqual(
      page.jobs.map(({ id }) => id),
      [second.id],
    );
    const next = await jobs.listJobs({ pageSize: 1, pageToken: page.nextPageToken });
    assert.deepEqual(
      next.jobs.map(({ id }) => id),
      [first.id],
    );
    assert.equal((await sandboxes.listSandboxes({ pageSize: 2 })).sandboxes.length, 2);
    await c.destroy();
    await ended(c);
    await assertBalance(platform, tally, DEPOSIT_MICROS);
  });

  test('extends a job and a machine: their end moves, and what was asked for is clamped again', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 50n, ttlMs: HOUR_MS });
    await using sandbox = await job.sandboxes.create({ ...SMALL, ttlMs: 600_000n });
    const jobEndMs = msOf(job.state.expiresAt);
    await job.extend({ addTtlMs: HOUR_MS, addSpendMicros: 99_950n });
    assert.equal(msOf(job.state.expiresAt), jobEndMs + Number(HOUR_MS));
    assert.equal(job.state.maxTotalSpendMicros, 100_000n);
    const before = sandbox.state!.ttlMs;
    assert.equal((await sandbox.extend({ addTtlMs: 60_000n })).ttlMs, before + 60_000n);
    const clamped = await sandbox.extend({ addTtlMs: 10n * HOUR_MS });
    const clamp = clamped.clamps.find(({ field }) => field === 'ttl_ms')!;
    assert.deepEqual([clamp.requested, clamp.rule], [before + 60_000n + 10n * HOUR_MS, 'job_remaining']);
    assert.ok(clamp.effective <= 2n * HOUR_MS);
    await assert.rejects(sandbox.extend({ addTtlMs: HOUR_MS }), refusedAs('policy_cap_exceeded'));
    // 50 micros end within seconds; with what was added it is still there after more steps than those would have paid.
    const stepsOfFirstCap = 50n / sandbox.state!.priceMicrosPerQuantum;
    await until(
      'it has outlived its first cap',
      async () => (await sandbox.refresh()).minutesSold > stepsOfFirstCap,
      60_000,
    );
    assert.equal(sandbox.state!.status, SandboxStatus.RUNNING);
  });

  test('[I-32] sees nothing of another wallet: everything of it is not found', async () => {
    const [owner, stranger] = [
      await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS }),
      await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS }),
    ];
    const job = await owner.tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    await using sandbox = await job.sandboxes.create(SMALL);
    const { execId, receiptId } = await sandbox.exec(['echo', 'private']);
    const { tally } = stranger;
    const theirs = tally.sandboxes.attach(sandbox.id);
    const { execs } = tally.services;
    const attempts: Record<string, () => Promise<unknown>> = {
      'get job': () => tally.jobs.get(job.id),
      'extend job': () => tally.jobs.extend(job.id, { addTtlMs: 1_000n }),
      'stop job': () => tally.jobs.stop(job.id),
      'buy in job': () => tally.sandboxes.create(job.id, SMALL),
      'get sandbox': () => tally.sandboxes.get(sandbox.id),
      'extend sandbox': () => theirs.extend({ addTtlMs: 1_000n }),
      touch: () => theirs.touch(),
      stop: () => theirs.stop(),
      destroy: () => theirs.destroy(),
      exec: () => theirs.exec(['true']),
      'get exec': () => execs.getExec({ id: sandbox.id, execId }),
      signal: () => theirs.signal(execId, 'SIGKILL'),
      upload: () => theirs.upload('x', 'x'),
      download: () => bytesOf(theirs.download('.profile')),
      list: () => theirs.list(),
      receipt: () => tally.receipts.get(receiptId),
      'revoke key': () => tally.keys.revoke(owner.key.id),
    };
    for (const [name, attempt] of Object.entries(attempts))
      await assert.rejects(attempt(), refusedAs('not_found'), `${name} was not refused as not found`);
    assert.deepEqual(await idsOf(tally.jobs.list()), []);
    assert.deepEqual(await idsOf(tally.sandboxes.list()), []);
    assert.deepEqual(await idsOf(tally.receipts.list({ stream: `sandbox:${sandbox.id}` })), []);
    await assert.rejects(async () => {
      for await (const _ of tally.live.follow(`sandbox/${sandbox.id}`, { after: 0n })) assert.fail('an event came');
    });
    assert.equal((await sandbox.refresh()).status, SandboxStatus.RUNNING);
    assert.equal((await job.refresh()).status, JobStatus.ACTIVE);
  });

  test('[I-28] a key does what its scopes say; a revoked one does nothing, at once', async () => {
    const { tally, key, signer } = await newcomer(platform.url);
    assert.deepEqual(await idsOf(tally.keys.list()), [key.id]);
    const reader = await newcomer(platform.url, { scopes: ['jobs:read', 'billing:read'] });
    assert.deepEqual([...reader.key.scopes].sort(), ['billing:read', 'jobs:read']);
    assert.equal((await reader.tally.balance()).balanceMicros, 0n);
    const missing = (code: string, scope: string) => (fault: unknown) => {
      assert.deepEqual((fault as ApiError).problem['missing'], [scope]);
      return refusedAs(code)(fault);
    };
    const scopeless = missing('scope_missing', 'jobs:write');
    await assert.rejects(reader.tally.jobs.create({ maxTotalSpendMicros: 10n }), scopeless);
    await assert.rejects(reader.tally.depositDevelopment(5n), missing('scope_missing', 'billing:write'));
    await assert.rejects(idsOf(reader.tally.keys.list()), missing('scope_missing', 'keys:read'));
    await tally.keys.revoke(key.id);
    await assert.rejects(tally.balance(), refusedAs('credential_refused'));
    await assert.rejects(connect({ baseUrl: platform.url, apiKey: `${key.secret}x` }).balance(), ApiError);
    assert.notEqual(signer.address, reader.signer.address);
  });
});
