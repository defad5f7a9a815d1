/** Bombs: processes, memory, disk and files meet their limit inside, and the host stays well. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { test } from 'node:test';
import { execInside, groundFor, inside, SHAPE, sandboxOn, until } from '../testing/rig.ts';

/** The host is well when an ordinary spawn still takes milliseconds, not seconds. */
const SPAWN_MS_MAX = 1_000;

function hostSpawnMs(): number {
  const startedAtMs = performance.now();
  assert.equal(spawnSync('true').status, 0);
  return performance.now() - startedAtMs;
}

test('a fork bomb stays under its pids limit, freezes, and dies while frozen', async (context) => {
  const sandbox = await sandboxOn(await groundFor(context));
  void execInside(sandbox, ['sh', '-c', 'b() { b | b & }; b; sleep 60']);
  await until(() => sandbox.cgroup.forksRefused() > 0);
  assert.ok(sandbox.cgroup.pids().length <= SHAPE.pidsMax);
  assert.ok(hostSpawnMs() < SPAWN_MS_MAX);
  sandbox.cgroup.freeze();
  context.diagnostic(`bomb frozen in ${(await until(() => sandbox.cgroup.isFrozen())).toFixed(1)} ms`);
  const startedAtMs = performance.now();
  await sandbox.destroy();
  context.diagnostic(`frozen bomb destroyed in ${(performance.now() - startedAtMs).toFixed(1)} ms`);
});

test('a memory bomb is killed inside, counted, and the sandbox lives on', async (context) => {
  const sandbox = await sandboxOn(await groundFor(context));
  const freeBefore = freemem();
  let leastFree = freeBefore;
  const timer = setInterval(() => {
    leastFree = Math.min(leastFree, freemem());
  }, 5);
  const { end } = await execInside(sandbox, ['perl', '-e', "$x .= 'a' x (1 << 20) while 1"]);
  clearInterval(timer);
  assert.deepEqual(end, { end: 'signaled', signal: 'SIGKILL' });
  assert.equal(sandbox.cgroup.oomKills(), 1);
  assert.equal(await inside(sandbox, 'echo alive'), 'alive\n[exit 0]');
  const lostMib = ((freeBefore - leastFree) / (1 << 20)).toFixed(0);
  context.diagnostic(`host lost at most ${lostMib} MiB; the limit is ${SHAPE.memoryBytesMax >> 20}`);
  await sandbox.destroy();
});

const FILL = (path: string): string =>
  `dd if=/dev/zero of=${path}/fill bs=1M count=3000 2>&1 | tail -1; rm -f ${path}/fill`;
const WRITABLE = "awk '$4 ~ /^rw/ && $2 !~ /^.proc/ { print $2 }' /proc/self/mounts | sort | tr '\\n' ' '";

for (const [kind, diskBytesMax] of [
  ['tmpfs', 32 << 20],
  ['image', 300 << 20],
] as const) {
  test(`a disk filler meets the quota on every writable path (${kind})`, async (context) => {
    const ground = await groundFor(context);
    const sandbox = await sandboxOn(ground, 0, { diskBytesMax });
    assert.match(await inside(sandbox, WRITABLE), /^\/dev\/.*\/home\/user \/run\/secrets \/tmp \[exit 0\]$/s);
    for (const path of ['/home/user', '/tmp', '/dev/shm']) {
      const copied = Number(/^(\d+) bytes/.exec(await inside(sandbox, FILL(path)))?.[1]);
      assert.ok(copied > 0 && copied <= diskBytesMax, `${path}: ${copied} bytes`);
    }
    const { bavail, bsize } = statfsSync(ground.logs);
    assert.ok(bavail * bsize > diskBytesMax);
    assert.equal(await inside(sandbox, 'echo alive > ~/x && cat ~/x'), 'alive\n[exit 0]');
    await sandbox.destroy();
  });
}

test('an inode filler is bounded too', async (context) => {
  const sandbox = await sandboxOn(await groundFor(context), 0, { diskBytesMax: 300 << 20 });
  const script = 'for $i (1..2000000) { open F, ">", "$ENV{HOME}/$i" or last; $n++ } print $n';
  const made = await inside(sandbox, `perl -e '${script}'`);
  context.diagnostic(`files before the refusal: ${made}`);
  assert.ok(Number.parseInt(made, 10) < 200_000);
  await sandbox.destroy();
});
