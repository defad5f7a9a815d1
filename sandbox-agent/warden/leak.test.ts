/** Many sandboxes, several at once, come and go: nothing of them is left on the host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groundFor, hostCount, sandboxOn, until } from '../testing/rig.ts';

const SANDBOXES = 40;
const AT_ONCE = 4;
const IMAGE_EVERY = 4;

test(`${SANDBOXES} sandboxes leave no process, mount, loop device, cgroup or file`, async (context) => {
  const ground = await groundFor(context);
  const nothing = { processes: 0, mounts: 0, loops: 0, cgroups: 0, entries: 0 };
  assert.deepEqual(hostCount(ground), nothing);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < SANDBOXES) {
      const index = next++;
      const shape = index % IMAGE_EVERY === 0 ? { diskBytesMax: 300 << 20 } : {};
      const sandbox = await sandboxOn(ground, index, shape);
      assert.equal(hostCount(ground).mounts, 0, "a sandbox's mount must never show on the host");
      await sandbox.destroy();
    }
  };
  const startedAtMs = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  context.diagnostic(`${SANDBOXES} in ${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s`);
  await until(() => hostCount(ground).loops === 0);
  assert.deepEqual(hostCount(ground), nothing);
});
