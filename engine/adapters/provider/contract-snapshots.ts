/**
 * What every provider must do with snapshots and images, as part of the suite over the port.
 * Promise: a snapshot holds one moment, outlives its sandbox, and is started from whole or not at all.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractRig } from './contract.ts';
import { type Created, ProviderFault, type SandboxSpec, type SnapshotView } from './port.ts';

/** Starts a sandbox of its own, paid for `paidMs`. */
type Start = (rig: ContractRig, changes?: Partial<SandboxSpec>, paidMs?: number) => Promise<Created>;

const DISK = { disk_mib: 256 };
const WAIT_MS = 20_000;
const NOTHING = '0'.repeat(64);
let numbers = 0;
const nextId = (): string => `snp_${(Date.now() * 1_000 + ++numbers).toString(16).padStart(32, '0')}`;

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };

const put = ({ provider }: ContractRig, sandbox: string, path: string, text: string) =>
  provider.putFile(sandbox, path, Buffer.from(text));

async function textOf({ provider }: ContractRig, sandbox: string, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await provider.getFile(sandbox, path)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const stop = ({ provider }: ContractRig, sandbox: string) =>
  provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });

const refOf = ({ snapshot, sha256 }: SnapshotView) => ({ snapshot, sha256 });

/** Call inside a `describe`. */
export function snapshotContract(rigged: () => ContractRig, start: Start): void {
  keeping(rigged, start);
  refusing(rigged, start);
}

function keeping(rigged: () => ContractRig, start: Start): void {
  test('a snapshot is what was there at its moment, is taken once, and outlives its sandbox', async () => {
    const rig = rigged();
    const { provider } = rig;
    const { sandbox } = await start(rig, DISK);
    await put(rig, sandbox, 'word', 'before');
    const order = { snapshot: nextId(), incarnation: 1 };
    const view = await provider.takeSnapshot(sandbox, order);
    assert.deepEqual([view.snapshot, view.sandbox, view.disk_mib, view.cause], [order.snapshot, sandbox, 256, 'asked']);
    assert.match(view.sha256, /^[0-9a-f]{64}$/);
    await put(rig, sandbox, 'word', 'after');
    assert.deepEqual(await provider.takeSnapshot(sandbox, order), view);
    await stop(rig, sandbox);
    assert.deepEqual(
      (await provider.listSnapshots()).find(({ snapshot }) => snapshot === order.snapshot),
      view,
    );
    for (const disk_mib of [256, 300]) {
      const next = await start(rig, { disk_mib, from: refOf(view) });
      assert.equal(await textOf(rig, next.sandbox, 'word'), 'before');
      await put(rig, next.sandbox, 'word', 'mine');
      await stop(rig, next.sandbox);
    }
    for (const _ of [1, 2]) await provider.deleteSnapshot(order.snapshot);
    await assert.rejects(start(rig, { ...DISK, from: refOf(view) }), isFault('unknown_snapshot'));
  });

  test('the end of the money keeps the disk of who asked for it; the end by its owner does not', async () => {
    const rig = rigged();
    const { provider } = rig;
    const [kept, stopped] = [nextId(), nextId()];
    const rich = await start(rig, { ...DISK, keep_as: stopped });
    await stop(rig, rich.sandbox);
    const poor = await start(rig, { ...DISK, keep_as: kept, grace_ms: 100 }, 3_000);
    await put(rig, poor.sandbox, 'word', 'last');
    await rig.pass(3_500);
    const giveUpAtMs = performance.now() + WAIT_MS;
    let view: SnapshotView | undefined;
    while (!view && performance.now() < giveUpAtMs) {
      view = (await provider.listSnapshots()).find(({ snapshot }) => snapshot === kept);
      if (!view) await rig.pass(50);
    }
    assert.ok(view, 'nothing was kept');
    assert.deepEqual([view.cause, view.sandbox], ['on_end', poor.sandbox]);
    const next = await start(rig, { ...DISK, from: refOf(view) });
    assert.equal(await textOf(rig, next.sandbox, 'word'), 'last');
    await stop(rig, next.sandbox);
    assert.ok(!(await provider.listSnapshots()).some(({ snapshot }) => snapshot === stopped));
    await provider.deleteSnapshot(kept);
  });
}

function refusing(rigged: () => ContractRig, start: Start): void {
  test('what does not fit, is not there, or has another digest is refused before anything runs', async () => {
    const rig = rigged();
    const { provider } = rig;
    const { sandbox } = await start(rig, DISK);
    const view = await provider.takeSnapshot(sandbox, { snapshot: nextId(), incarnation: 1 });
    const other = { snapshot: nextId(), incarnation: 2 };
    await assert.rejects(provider.takeSnapshot(sandbox, other), isFault('other_incarnation'));
    await stop(rig, sandbox);
    const late = provider.takeSnapshot(sandbox, { snapshot: nextId(), incarnation: 1 });
    await assert.rejects(late, isFault('sandbox_ended', 'gone'));
    await assert.rejects(start(rig, { disk_mib: 128, from: refOf(view) }), isFault('snapshot_too_large'));
    const forged = { snapshot: view.snapshot, sha256: NOTHING };
    await assert.rejects(start(rig, { ...DISK, from: forged }), isFault('snapshot_digest_mismatch'));
    const small = await start(rig);
    const inMemory = provider.takeSnapshot(small.sandbox, { snapshot: nextId(), incarnation: 1 });
    await assert.rejects(inMemory, isFault('disk_in_memory'));
    await stop(rig, small.sandbox);
    await provider.deleteSnapshot(view.snapshot);
  });

  test('a machine tells the digest of its image, starts what was sold by it and refuses another', async () => {
    const rig = rigged();
    const { images, image_digests } = await rig.provider.descriptor();
    const image_digest = image_digests[images[0] as string] as string;
    assert.match(image_digest, /^[0-9a-f]{64}$/);
    const made = await start(rig, { image_digest });
    assert.equal(made.image_digest, image_digest);
    await stop(rig, made.sandbox);
    await assert.rejects(start(rig, { image_digest: NOTHING }), isFault('image_digest_mismatch'));
  });
}
