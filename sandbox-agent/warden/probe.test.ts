/** What the machine can enforce: seen, tried, and what the weaker level still holds. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hostCount, inside, ownGround, sandboxOn, until } from '../testing/rig.ts';
import { Fault } from './fault.ts';
import { probe, tryIsolation } from './probe.ts';

test('this machine isolates at level ns, shown by a trial that leaves nothing', async () => {
  assert.deepEqual(probe(), { level: 'ns', missing: [] });
  const own = await ownGround();
  await tryIsolation(own.ground);
  assert.deepEqual(hostCount(own.ground), { processes: 0, mounts: 0, loops: 0, cgroups: 0, entries: 0 });
  await own.remove();
});

test('a trial that cannot start says why', async () => {
  const own = await ownGround();
  const broken = { ...own.ground, nodeFile: '/no/such/node' };
  await assert.rejects(tryIsolation(broken), (fault) => fault instanceof Fault && fault.code === 'cannot_isolate');
  await own.remove();
});

for (const diskBytesMax of [32 << 20, 300 << 20]) {
  test(`ns-lite, ${diskBytesMax >> 20} MiB: own uid, own root, no network, frozen and destroyed as ns is`, async (context) => {
    const own = await ownGround('ns-lite');
    context.after(own.remove);
    await tryIsolation(own.ground);
    const sandbox = await sandboxOn(own.ground, 0, { diskBytesMax });
    assert.equal(
      await inside(sandbox, 'id -u; node -v; echo x > ~/x; cat ~/x'),
      `${own.ground.hostUidFirst}\nv${process.versions.node}\nx\n[exit 0]`,
    );
    assert.match(
      await inside(sandbox, 'cat /etc/shadow; ls /root; ls /home'),
      /^user\n.*shadow: No such file.*root.*No such file/s,
    );
    assert.match(await inside(sandbox, 'touch /x /usr/x /etc/x'), /(Read-only file system.*){3}/s);
    assert.match(await inside(sandbox, 'sed 1,2d /proc/net/dev | cut -d: -f1'), /^\s*lo\n\[/);
    assert.match(await inside(sandbox, "grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status | grep -c '[1-9a-f]$'"), /^0\n/);
    assert.match(await inside(sandbox, 'mount -t tmpfs none /tmp'), /denied|superuser|not permitted/);
    const pids = sandbox.cgroup.pids();
    sandbox.cgroup.freeze();
    await until(() => sandbox.cgroup.isFrozen());
    await sandbox.destroy();
    for (const pid of pids) assert.throws(() => readFileSync(`/proc/${pid}/status`));
    await until(() => hostCount(own.ground).loops === 0);
    assert.deepEqual(hostCount(own.ground), { processes: 0, mounts: 0, loops: 0, cgroups: 0, entries: 0 });
  });
}
