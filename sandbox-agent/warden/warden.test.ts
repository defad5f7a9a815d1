/** One warden in this process with an injected clock: steps of the wall clock, and what a destroy lets run. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as yieldOnce } from 'node:timers/promises';
import { leaseKey, ownGround, ticketOf, until } from '../testing/rig.ts';
import { detectAdmission, IMAGE_VERSION } from './admission.ts';
import { systemClock } from './clock.ts';
import { egressMachine } from './egress-dial.ts';
import { EventLog, type WardenEvent } from './events.ts';
import { Snapshots } from './snapshots.ts';
import { UsedNames } from './used-names.ts';
import { Warden } from './warden.ts';

const HOUR_MS = 3_600_000;
const SPEC = { image: IMAGE_VERSION, cpu_millis: 1_000, memory_mib: 192, disk_mib: 32, pids_max: 64, grace_ms: 60_000 };

async function wardenWith(context: TestContext) {
  const own = await ownGround();
  const shift = { ms: 0 };
  const clock = { wallMs: () => Date.now() + shift.ms, monotonicMs: systemClock.monotonicMs };
  const events = new EventLog(own.folder, randomUUID(), clock.wallMs);
  const usedNames = new UsedNames(join(own.folder, 'used-names'));
  const admission = detectAdmission(own.folder);
  const egress = egressMachine({ openedRanges: [], resolver: undefined });
  const snapshots = new Snapshots(own.ground.snapshots, () => Math.round(clock.wallMs() * 1_000));
  const parts = { ground: own.ground, clock, events, usedNames, admission, snapshots, egress };
  const warden = new Warden({ leaseKey: leaseKey.publicKey, imageDigest: async () => '', ...parts });
  context.after(async () => {
    await warden.close();
    await events.close();
    await own.remove();
  });
  const has = async (name: string): Promise<WardenEvent | undefined> =>
    (await events.read(0, 0)).events.find((event) => event.event === name);
  return { warden, shift, has };
}

for (const stepMs of [HOUR_MS, -HOUR_MS]) {
  test(`[I-04] the wall clock is stepped by ${stepMs / HOUR_MS} h: frozen in time, never destroyed by it`, async (context) => {
    const { warden, shift, has } = await wardenWith(context);
    const paidUntilMs = Date.now() + 2_000;
    await warden.create({ sandbox: 's0', incarnation: 1, ...SPEC }, ticketOf(2_000));
    shift.ms = stepMs;
    const steppedAtMs = Date.now();
    await until(async () => (await has('frozen')) !== undefined);
    if (stepMs > 0) assert.ok(Date.now() - steppedAtMs < 300, `seen after ${Date.now() - steppedAtMs} ms`);
    assert.ok(Date.now() <= paidUntilMs);
    assert.equal(warden.view('s0').state, 'frozen');
    shift.ms = 0;
    warden.renew('s0', ticketOf(5_000, { seq: 2 }));
    assert.equal(warden.view('s0').state, 'running');
  });
}

test('[I-08] destroying a frozen sandbox does not let its tenant run on', async (context) => {
  const { warden, has } = await wardenWith(context);
  const held = await warden.create({ sandbox: 's0', incarnation: 1, ...SPEC }, ticketOf(1_500));
  const spin = 'i=0; while [ $i -lt 20 ]; do (while :; do :; done) & i=$((i+1)); done; wait';
  held.execs?.start('spin', { argv: ['sh', '-c', spin], hasStdin: false }, undefined, false);
  await until(async () => (await has('frozen')) !== undefined);
  const { cgroup } = held.sandbox as NonNullable<typeof held.sandbox>;
  await until(() => cgroup.isFrozen());
  const usedFrozenUs = Number(cgroup.cpuMicrosUsed());
  const ending = warden.finish('s0', 1, 'stopped_by_owner', null);
  let usedLastUs = usedFrozenUs;
  let isOver = false;
  const over = ending.then(() => {
    isOver = true;
  });
  while (!isOver) {
    try {
      usedLastUs = Number(/usage_usec (\d+)/.exec(readFileSync(join(cgroup.tree, 'cpu.stat'), 'utf8'))?.[1]);
    } catch {
      // The tree is gone.
    }
    await yieldOnce();
  }
  await over;
  context.diagnostic(`cpu from freeze to gone: ${usedLastUs - usedFrozenUs} us, the end of 22 processes included`);
  assert.ok(usedLastUs - usedFrozenUs < 100_000);
});
