/** Level gvisor: what its own kernel changes for the tenant, what ends a sandbox, and that nothing of it is left. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { reasonAgainst, triedGround } from '../testing/levels.ts';
import { execInside, hostCount, inside, type OwnGround, SHAPE, sandboxOn, until } from '../testing/rig.ts';
import { Fault } from './fault.ts';
import { askedLevel, chooseLevel } from './level.ts';
import { candidates, runscArguments } from './runsc.ts';

const NOTHING = { processes: 0, mounts: 0, loops: 0, cgroups: 0, entries: 0 };
/** Whose outermost process ends by itself leaves another one for the host's first process to collect. */
async function assertNothingLeft({ ground }: OwnGround): Promise<void> {
  await until(() => hostCount(ground).processes + hostCount(ground).loops === 0);
  assert.deepEqual(hostCount(ground), NOTHING);
}

const withoutGvisor = await reasonAgainst('gvisor');

describe('level gvisor', { skip: withoutGvisor ?? false }, () => {
  let own: OwnGround;
  before(async () => {
    own = await triedGround('gvisor');
  });
  after(() => own.remove());

  for (const diskBytesMax of [32 << 20, 300 << 20]) {
    test(`a disk of ${diskBytesMax >> 20} MiB is the tenant's own and no larger`, async () => {
      const sandbox = await sandboxOn(own.ground, 0, { diskBytesMax });
      assert.equal(await inside(sandbox, 'id -u; echo x > ~/x; cat ~/x'), '1000\nx\n[exit 0]');
      for (const path of ['/home/user', '/tmp', '/dev/shm']) {
        const fill = `dd if=/dev/zero of=${path}/fill bs=1M count=3000 2>&1 | tail -1; rm -f ${path}/fill`;
        const copied = Number(/^(\d+) bytes/.exec(await inside(sandbox, fill))?.[1]);
        assert.ok(copied > 0 && copied <= diskBytesMax, `${path}: ${copied} bytes`);
      }
      await sandbox.destroy();
      await assertNothingLeft(own);
    });
  }

  test('[I-04] a frozen tree uses no cpu, and its processes go on where they were', async () => {
    const sandbox = await sandboxOn(own.ground);
    const counting = execInside(sandbox, ['sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i']);
    sandbox.cgroup.freeze();
    await until(() => sandbox.cgroup.isFrozen());
    const pids = sandbox.cgroup.pids().sort();
    const usedUs = sandbox.cgroup.cpuMicrosUsed();
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(sandbox.cgroup.cpuMicrosUsed(), usedUs);
    assert.deepEqual(sandbox.cgroup.pids().sort(), pids);
    sandbox.cgroup.thaw();
    assert.equal((await counting).out, '20000\n');
    await sandbox.destroy();
    await assertNothingLeft(own);
  });

  test("the sentry's death is the sandbox's end, and leaves nothing", async () => {
    const sandbox = await sandboxOn(own.ground);
    const sentry = sandbox.cgroup.pids().find((pid) => /\0boot\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')));
    process.kill(sentry as number, 'SIGKILL');
    await sandbox.gone;
    await sandbox.destroy();
    await assertNothingLeft(own);
  });

  const BOMBS: [what: string, argv: string[]][] = [
    ['memory', ['perl', '-e', "$x .= 'a' x (1 << 20) while 1"]],
    ['processes', ['sh', '-c', 'b() { b | b & }; b; sleep 60']],
  ];
  for (const [what, argv] of BOMBS) {
    test(`[I-08] a bomb of ${what} ends its own sandbox, is counted, and the neighbour lives on`, async () => {
      const [sandbox, neighbour] = await Promise.all([sandboxOn(own.ground, 0), sandboxOn(own.ground, 1)]);
      assert.deepEqual((await execInside(sandbox, argv, 30_000)).end, { fault: 'lost' });
      // Which limit it meets first is the platform's: a process costs threads and memory.
      assert.ok(sandbox.cgroup.oomKills() + sandbox.cgroup.forksRefused() > 0);
      assert.ok(sandbox.cgroup.memoryBytesUsed() <= SHAPE.memoryBytesMax);
      assert.equal(await inside(neighbour, 'echo well'), 'well\n[exit 0]');
      await Promise.all([sandbox.destroy(), neighbour.destroy()]);
      await assertNothingLeft(own);
    });
  }

  test('many come and go: no process, mount, loop device, cgroup or file is left', async () => {
    for (let round = 0; round < 3; round += 1) {
      const started = [0, 1, 2].map((index) =>
        sandboxOn(own.ground, index, index === 0 ? { diskBytesMax: 300 << 20 } : {}),
      );
      const sandboxes = await Promise.all(started);
      assert.equal(hostCount(own.ground).mounts, 0, "a sandbox's mount must never show on the host");
      await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
    }
    await assertNothingLeft(own);
  });

  test('every way of starting it says no to network, host cgroups and any socket but an open one', () => {
    for (const runsc of candidates(own.ground.runsc?.file ?? '')) {
      const given = runscArguments(runsc);
      for (const flag of ['--network=none', '--ignore-cgroups', '--rootless', '--oci-seccomp'])
        assert.ok(given.includes(flag));
      assert.ok(given.some((flag) => ['--host-uds=open', '--fsgofer-host-uds'].includes(flag)));
    }
  });
});

test('a level that nobody knows is refused, naming what there is; what is asked for is never made weaker', () => {
  const isBad = (fault: unknown) => fault instanceof Fault && /auto, gvisor, ns, ns-lite/.test(fault.message);
  assert.throws(() => askedLevel('vm'), isBad);
  assert.equal(askedLevel(undefined), 'auto');
  assert.equal(chooseLevel('ns', true), 'ns');
  assert.equal(chooseLevel('auto', false), 'ns', 'gvisor is taken only when it is asked for');
});
