/**
 * What a user can rely on when the platform turns its switches: tiers, suspensions, providers, rates.
 * Promise: everything goes through public doors; what was refused can be verified offline by whoever was refused.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Tier } from '@tallystick/proto';
import { ApiError, connect, login, SandboxStatus, StopReason, signerOfPrivateKey, type Tally } from '@tallystick/sdk';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, ROOT, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const PROVIDER = 'local';
const PUBLIC_READS_MAX = 40;
const PLENTY_MICROS = 1_000_000n;
const because = { reason: 'a drill' };

const adminSigner = signerOfPrivateKey(randomBytes(32));
const ADMIN = `eip155:1:${adminSigner.address.toLowerCase()}`;

/** The problem of a call that must be refused. */
async function refusal(call: Promise<unknown>): Promise<ApiError> {
  const outcome = await call.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  assert.ok(outcome instanceof ApiError, `refused, not ${String(outcome)}`);
  return outcome;
}

const factsOf = ({ problem }: ApiError, ...names: string[]): unknown[] => names.map((name) => problem[name]);

/** In a process of its own. @errors rejects with what it printed when it found a problem */
async function verifiedOffline(tally: Tally): Promise<{ receipts: number; redecided: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-switches-'));
  try {
    const file = join(folder, 'export.jsonl');
    await tally.receipts.export(file);
    const main = join(ROOT, 'terminal', 'main.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'verify', file, '--json']);
    return JSON.parse(stdout) as { receipts: number; redecided: number };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('the platform turns its switches', { concurrency: false }, () => {
  let platform: Platform;
  let admin: Tally['services']['admin'];
  before(async () => {
    platform = await startPlatform({
      env: { TALLY_ADMINS: ADMIN, TALLY_RATE_PUBLIC_READS: String(PUBLIC_READS_MAX) },
    });
    const key = await login({ baseUrl: platform.url, signer: adminSigner, chainId: 1, scopes: ['platform:admin'] });
    admin = connect({ baseUrl: platform.url, apiKey: key.secret }).services.admin;
  });
  after(() => platform[Symbol.asyncDispose]());

  test('only those named as administrators get the admin scope, and only by asking', async () => {
    const asked = await refusal(newcomer(platform.url, { scopes: ['platform:admin'] }));
    assert.deepEqual([asked.code, asked.status], ['login_scope_refused', 403]);
    const key = await login({ baseUrl: platform.url, signer: adminSigner, chainId: 1 });
    const ordinary = connect({ baseUrl: platform.url, apiKey: key.secret });
    const told = await refusal(ordinary.services.admin.getStanding({ principal: ADMIN }));
    assert.equal(told.code, 'scope_missing');
  });

  test('everybody is told what applies to them and what of it is used', async () => {
    const { tally, key } = await newcomer(platform.url, { depositMicros: PLENTY_MICROS });
    const policy = await tally.services.policy.getPolicy({});
    assert.deepEqual([policy.principal, policy.tier, policy.use?.spentTodayMicros], [key.principal, Tier.STANDARD, 0n]);
    const job = await tally.jobs.create({ maxTotalSpendMicros: 9_000n });
    const sandbox = await job.sandboxes.create({});
    const { use } = await tally.services.policy.getPolicy({});
    assert.equal(use!.sandboxesRunning, 1);
    assert.ok(use!.spentTodayMicros >= sandbox.state!.priceMicrosPerQuantum);
    await admin.setTier({ principal: key.principal, tier: Tier.NEW, ...because });
    const lower = await tally.services.policy.getPolicy({});
    assert.deepEqual([lower.tier, lower.caps?.sandboxesMax, lower.use?.sandboxesLeft], [Tier.NEW, 5, 4]);
    await sandbox.destroy();
  });

  test('[I-05] a suspended principal opens nothing, its machine stops by policy, and its export verifies', async () => {
    const { tally, key } = await newcomer(platform.url, { depositMicros: PLENTY_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: PLENTY_MICROS });
    const sandbox = await job.sandboxes.create({});
    const standing = await admin.suspend({ principal: key.principal, ...because });
    assert.deepEqual([standing.suspended, standing.reason, standing.version], [true, 'a drill', 1]);
    const refused = await Promise.all(
      [
        tally.jobs.create({ maxTotalSpendMicros: 5n }),
        job.extend({ addSpendMicros: 5n }),
        job.sandboxes.create({}),
      ].map(refusal),
    );
    for (const one of refused)
      assert.deepEqual([one.code, ...factsOf(one, 'reason')], ['account_suspended', 'a drill']);
    const ended = await until('it has ended', async () => {
      const state = await sandbox.refresh();
      return state.status === SandboxStatus.ENDED && state;
    });
    assert.equal(ended.stopReason, StopReason.POLICY);
    const report = await verifiedOffline(tally);
    assert.equal(report.redecided, report.receipts);
    await admin.reinstate({ principal: key.principal, ...because });
    assert.ok((await tally.jobs.create({ maxTotalSpendMicros: 5n })).state.id);
  });

  test('[I-05] a drained provider takes nothing new, a killed one stops what it has, a resumed one is as before', async () => {
    const { tally } = await newcomer(platform.url, { depositMicros: PLENTY_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: PLENTY_MICROS });
    const sandbox = await job.sandboxes.create({});
    await admin.drainProvider({ provider: PROVIDER, ...because });
    const refused = await refusal(job.sandboxes.create({}));
    assert.deepEqual(
      [refused.code, ...factsOf(refused, 'provider', 'reason')],
      ['provider_closed', PROVIDER, 'a drill'],
    );
    const { minutesSold } = await sandbox.refresh();
    await until('a further minute is sold', async () => (await sandbox.refresh()).minutesSold > minutesSold);
    await admin.killProvider({ provider: PROVIDER, ...because });
    const ended = await until('it has ended', async () => {
      const state = await sandbox.refresh();
      return state.status === SandboxStatus.ENDED && state;
    });
    assert.equal(ended.stopReason, StopReason.POLICY);
    await admin.resumeProvider({ provider: PROVIDER, ...because });
    const again = await job.sandboxes.create({});
    await again.destroy();
    const report = await verifiedOffline(tally);
    assert.equal(report.redecided, report.receipts);
    assert.equal((await refusal(admin.drainProvider({ provider: 'mars', ...because }))).code, 'not_found');
  });

  test('who asks too often is told how long to wait', async () => {
    const url = `${platform.url}/v1/log/checkpoint`;
    const statuses = await Promise.all(
      Array.from({ length: PUBLIC_READS_MAX + 1 }, async () => (await fetch(url)).status),
    );
    assert.ok(statuses.includes(429));
    const answer = await fetch(url);
    const problem = (await answer.json()) as Record<string, unknown>;
    assert.deepEqual([answer.status, problem['code'], problem['limit']], [429, 'rate_limited', 'address_reads']);
    assert.ok(Number(problem['retry_after_ms']) > 0);
    assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  });
});
