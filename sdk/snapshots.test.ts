/** Snapshots from the client's side: taken, listed, deleted, started from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OnEnd } from '@tallystick/proto';
import { ApiError, connect, SnapshotStatus } from './index.ts';
import { startFakePlatform } from './testing/fake-platform.ts';

const isRefusal = (code: string) => (fault: unknown) => fault instanceof ApiError && fault.code === code;

test('a snapshot is taken under a key, listed, started from and deleted', async () => {
  await using fake = await startFakePlatform();
  const tally = connect({ baseUrl: fake.url, apiKey: fake.addKey() });
  const job = await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
  const sandbox = await job.sandboxes.create({ onEnd: 'snapshot' });
  assert.equal(sandbox.state?.onEnd, OnEnd.SNAPSHOT);
  const taken = await sandbox.snapshot({ label: 'installed', ttlMs: 60_000n, waitMs: 5_000n, key: 'once' });
  assert.deepEqual([taken.status, taken.label, taken.sandboxId], [SnapshotStatus.READY, 'installed', sandbox.id]);
  assert.equal(fake.changes.at(-1), 'once createSnapshot 60000 5000');
  assert.deepEqual(await Array.fromAsync(tally.snapshots.list()), [taken]);
  assert.deepEqual(await Array.fromAsync(tally.snapshots.list({ sandboxId: `sbx_${'0'.repeat(32)}` })), []);
  const copy = await job.sandboxes.create({ snapshotId: taken.id });
  assert.equal(copy.state?.fromSnapshotId, taken.id);
  assert.equal((await tally.snapshots.delete(taken.id)).status, SnapshotStatus.DELETED);
  assert.deepEqual(await Array.fromAsync(tally.snapshots.list()), []);
  assert.equal((await tally.snapshots.get(taken.id)).reason, 'deleted_by_owner');
  await assert.rejects(tally.snapshots.delete(taken.id), isRefusal('nothing_to_change'));
  await assert.rejects(tally.snapshots.get(`snp_${'0'.repeat(32)}`), isRefusal('not_found'));
});
