/**
 * The file system of a machine can be kept and started from again: by request, or when the money was over.
 * Promise: everything goes through the public protocol, against a whole platform; all of it verifies offline.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  ApiError,
  type Job,
  type Sandbox,
  SandboxStatus,
  SnapshotCause,
  SnapshotStatus,
  type Tally,
} from '@tallystick/sdk';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, ROOT, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const SMALL = { cpuMillis: 500, ramMib: 128, diskMib: 256, quantumMs: 10_000n } as const;
/** Where the machine of a local platform keeps them. */
const KEPT = join('warden', 'snapshots');
/** Of the volume's name in an image: a byte that nothing but the digest looks at. */
const LABEL_AT = 1_024 + 0x78;

const isRefusal = (code: string) => (fault: unknown) => {
  assert.ok(fault instanceof ApiError, String(fault));
  assert.equal(fault.code, code);
  return true;
};

async function say(sandbox: Sandbox, line: string): Promise<string> {
  const { stdout, exitCode } = await sandbox.exec(['sh', '-c', line]);
  return `${stdout}[${exitCode}]`;
}

const ended = (sandbox: Sandbox) =>
  until(`${sandbox.id} has ended`, async () => (await sandbox.refresh()).status === SandboxStatus.ENDED);

describe('snapshots', () => {
  let platform: Platform;
  let tally: Tally;
  let apiKey: string;
  let job: Job;
  let snapshotId: string;
  before(async () => {
    platform = await startPlatform({ quantumMs: 10_000 });
    const made = await newcomer(platform.url, { depositMicros: 1_000_000n });
    tally = made.tally;
    apiKey = made.key.secret;
    job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
  });
  after(() => platform[Symbol.asyncDispose]());

  test('one is taken while the sandbox works, shows its digest, and another sandbox starts from it', async () => {
    const sandbox = await job.sandboxes.create({ ...SMALL, label: 'first' });
    assert.equal(await say(sandbox, 'mkdir -p a/b && echo hello > a/b/c'), '[0]');
    const made = await sandbox.snapshot({ label: 'installed', ttlMs: 3_600_000n });
    snapshotId = made.id;
    assert.deepEqual(
      [made.status, made.cause, made.label, made.sandboxId, made.diskMib],
      [SnapshotStatus.READY, SnapshotCause.ASKED, 'installed', sandbox.id, 256],
    );
    assert.match(made.sha256, /^[0-9a-f]{64}$/);
    assert.equal(made.imageDigest, sandbox.state!.imageDigest);
    assert.match(made.imageDigest, /^[0-9a-f]{64}$/);
    const [listed, ...more] = await Array.fromAsync(tally.snapshots.list({ sandboxId: sandbox.id }));
    assert.deepEqual([listed, more], [made, []]);
    const { use } = await tally.services.policy.getPolicy({});
    assert.deepEqual([use?.snapshots, use?.snapshotBytes], [1, made.sizeBytes]);
    await sandbox.destroy();
    const copy = await job.sandboxes.create({ cpuMillis: 500, ramMib: 128, quantumMs: 10_000n, snapshotId });
    assert.deepEqual([copy.state!.diskMib, copy.state!.fromSnapshotId, copy.state!.incarnation], [256, snapshotId, 1]);
    assert.equal(await say(copy, 'cat a/b/c; id -un; stat -c %U a/b/c'), 'hello\nuser\nuser\n[0]');
    await copy.destroy();
  });

  test('[I-32] a stranger, a small disk, another image and a key used twice are told so', async () => {
    const { tally: stranger } = await newcomer(platform.url, { depositMicros: 100_000n });
    await assert.rejects(stranger.snapshots.get(snapshotId), isRefusal('not_found'));
    await assert.rejects(stranger.snapshots.delete(snapshotId), isRefusal('not_found'));
    const theirs = await stranger.jobs.create({ maxTotalSpendMicros: 50_000n });
    await assert.rejects(theirs.sandboxes.create({ ...SMALL, snapshotId }), isRefusal('not_found'));
    const small = job.sandboxes.create({ ...SMALL, diskMib: 128, snapshotId });
    await assert.rejects(small, (fault) => {
      assert.ok(fault instanceof ApiError);
      const { cap, asked, available } = fault.problem as unknown as Record<string, unknown>;
      assert.deepEqual([fault.code, cap, asked, available], ['disk_out_of_range', 'disk_mib_min', 128, 256]);
      return true;
    });
    const other = job.sandboxes.create({ ...SMALL, imageDigest: '0'.repeat(64) });
    await assert.rejects(other, isRefusal('image_digest_mismatch'));
    const memory = await job.sandboxes.create({ ...SMALL, diskMib: 32 });
    await assert.rejects(memory.snapshot(), isRefusal('disk_out_of_range'));
    await memory.destroy();
    await assert.rejects(memory.snapshot(), (fault) => fault instanceof ApiError && /sandbox_/.test(fault.code));
  });

  test('when its cap is used up, a sandbox that asked for it leaves its file system as a snapshot', async () => {
    const oneStep = { quantumMs: 3_000n, maxSpendMicros: 20n };
    const sandbox = await job.sandboxes.create({ ...SMALL, ...oneStep, onEnd: 'snapshot' });
    assert.ok(sandbox.state!.priceMicrosPerQuantum <= 20n, 'it covers a step');
    assert.ok(sandbox.state!.priceMicrosPerQuantum > 10n, 'and not two');
    assert.equal(await say(sandbox, 'echo last words > will'), '[0]');
    await ended(sandbox);
    const kept = await until('it is kept', async () => (await sandbox.refresh()).keptSnapshotId || undefined);
    const snapshot = await tally.snapshots.get(kept);
    assert.deepEqual([snapshot.status, snapshot.cause], [SnapshotStatus.READY, SnapshotCause.ON_END]);
    const heir = await job.sandboxes.create({ ...SMALL, snapshotId: kept });
    assert.equal(await say(heir, 'cat will'), 'last words\n[0]');
    await heir.destroy();
  });

  test('snapshots survive every program; bytes that changed meanwhile start nothing, and the snapshot is marked', async () => {
    const before = ['warden', 'meter'].map((name) => platform.pid(name as 'warden'));
    await platform.kill('meter');
    await platform.kill('warden');
    await platform.untilReady(before);
    const again = await job.sandboxes.create({ ...SMALL, snapshotId });
    assert.equal(await say(again, 'cat a/b/c'), 'hello\n[0]');
    const second = await again.snapshot();
    await again.destroy();
    const image = openSync(join(platform.folder, KEPT, `${second.id}.img`), 'r+');
    writeSync(image, Buffer.from('x'), 0, 1, LABEL_AT);
    closeSync(image);
    const victim = await job.sandboxes.create({ ...SMALL, snapshotId: second.id });
    await ended(victim);
    assert.deepEqual(
      [victim.state!.stopReason, victim.state!.spentMicros],
      [11, 0n],
      'start_failed, and paid for nothing',
    );
    await until('it is marked', async () => (await tally.snapshots.get(second.id)).status === SnapshotStatus.DAMAGED);
    await assert.rejects(job.sandboxes.create({ ...SMALL, snapshotId: second.id }), isRefusal('snapshot_damaged'));
    await tally.snapshots.delete(second.id);
  });

  test('the same by hand with tally, and everything verifies offline', async () => {
    const home = join(platform.folder, 'cli');
    mkdirSync(home);
    const env = { ...process.env, HOME: home, TALLY_URL: platform.url, TALLY_API_KEY: apiKey };
    const tallyCli = async (...words: string[]) => {
      const args = [join(ROOT, 'terminal', 'main.ts'), ...words, '--json'];
      return JSON.parse((await promisify(execFile)(process.execPath, args, { env })).stdout);
    };
    const made = await tallyCli('sandbox', 'create', '--job', job.id, '--snapshot', snapshotId, '--on-end', 'snapshot');
    assert.deepEqual([made.from_snapshot_id, made.on_end], [snapshotId, 'snapshot']);
    const taken = await tallyCli('snapshot', 'create', made.id, '--label', 'by hand');
    assert.deepEqual([taken.status, taken.label], ['ready', 'by hand']);
    const { snapshots } = await tallyCli('snapshot', 'list', '--of', made.id);
    assert.deepEqual(
      snapshots.map(({ id }: { id: string }) => id),
      [taken.id],
    );
    assert.equal((await tallyCli('snapshot', 'delete', taken.id)).status, 'deleted');
    await tallyCli('sandbox', 'destroy', made.id);
    const isThere = (): boolean => readdirSync(join(platform.folder, KEPT)).some((name) => name.includes(taken.id));
    await until('the machine has removed it', () => !isThere());
    const file = join(home, 'all.jsonl');
    await tally.receipts.export(file);
    const report = await tallyCli('verify', file);
    assert.equal(report.ok, true, JSON.stringify(report.problems));
    const text = readFileSync(file, 'utf8');
    for (const event of ['SnapshotAsked', 'SnapshotTaken', 'SnapshotKept', 'SnapshotDamaged', 'SnapshotDeleted'])
      assert.ok(text.includes(event), event);
  });
});
