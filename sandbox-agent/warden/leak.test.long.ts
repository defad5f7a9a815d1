/** A thousand sandboxes come and go on one warden, from its pool and from nothing: nothing of them is left, nothing grows. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { ticketOf, until } from '../testing/rig.ts';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';

const SANDBOXES = 1_000;
const WARMING_UP = 300;
const AT_ONCE = 4;
/** Every fourth has an image disk, so no sandbox of the pool fits it. */
const IMAGE_EVERY = 4;
const WARM = 2;
/** Of sandboxes that have ended; what they said can still be read. */
const OUTPUTS_KEPT_MAX = 64;
/** Of the process, whose heap grows in steps of some 60 MiB; what was kept of each sandbox would come on top of one. */
const GROWTH_BYTES_MAX = 96 << 20;

const deadlines = (warden: WardenProcess): string => join(warden.folder, 'state', 'deadlines');

async function one(warden: WardenProcess, index: number): Promise<void> {
  const sandbox = `s${index}`;
  const disk_mib = index % IMAGE_EVERY === 0 ? 300 : 32;
  const created = await warden.create(60_000, { sandbox, disk_mib }, ticketOf(60_000, { sandbox }));
  assert.equal(created.status, 200, created.bytes.toString());
  const path = `/v1/sandboxes/${sandbox}`;
  await warden.call('POST', `${path}/execs`, { exec_id: 'echo', argv: ['echo', 'ok'] });
  const said = await warden.call('GET', `${path}/execs/echo?wait_ms=20000`);
  assert.deepEqual(said.json.end, { end: 'exited', code: 0 });
  await warden.call('POST', `${path}/finish`, { incarnation: 1, reason: 'destroyed', at_us: null });
}

async function churn(warden: WardenProcess, from: number, to: number): Promise<void> {
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < to) await one(warden, next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** What the host and the warden hold while only the pool and the launcher stand. */
async function held(warden: WardenProcess) {
  await until(async () => {
    const { warm_ready, launcher_ready } = (await warden.call('GET', '/v1/health')).json;
    return warm_ready === WARM && launcher_ready;
  }, 30_000);
  const files = readdirSync(deadlines(warden));
  const { cgroupDirectories } = JSON.parse(readFileSync(join(deadlines(warden), files[0] ?? ''), 'utf8'));
  const slices: string[] = cgroupDirectories.map((directory: string) => dirname(directory));
  const { pid } = warden.process;
  const folders = (path: string) => readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const tree = slices[0] as string;
  const processes = folders(tree).map(
    ({ name }) =>
      readFileSync(join(tree, name, 'cgroup.procs'), 'utf8')
        .split('\n')
        .filter(Boolean).length,
  );
  return {
    figures: {
      deadlines: files.length,
      cgroups: slices.map((slice) => folders(slice).length),
      processes: processes.sort(),
      folders: readdirSync(join(warden.folder, 'state', 'sandboxes')).length,
      loops: execFileSync('losetup', ['-a'], { encoding: 'utf8' }).split(basename(warden.folder)).length - 1,
      mounts: readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n').length,
      ownMounts: readFileSync('/proc/self/mountinfo', 'utf8').split(basename(warden.folder)).length - 1,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
    },
    memoryBytes: Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024,
  };
}

test(`${SANDBOXES} sandboxes on one warden leave nothing behind and make nothing grow`, async (context) => {
  const warden = await wardenFor(context, undefined, ['--warm', String(WARM), '--warm-disk-mib', '32', '--spare', '1']);
  await churn(warden, 0, WARMING_UP);
  const before = await held(warden);
  const startedAtMs = performance.now();
  await churn(warden, WARMING_UP, WARMING_UP + SANDBOXES);
  context.diagnostic(`${SANDBOXES} in ${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s`);
  await until(async () => (await held(warden)).figures.loops === 0, 30_000);
  const after = await held(warden);
  assert.deepEqual(after.figures, before.figures);
  assert.deepEqual(
    after.figures.cgroups,
    after.figures.cgroups.map(() => WARM + 1),
  );
  context.diagnostic(`the warden grew by ${((after.memoryBytes - before.memoryBytes) / (1 << 20)).toFixed(1)} MiB`);
  assert.ok(after.memoryBytes - before.memoryBytes < GROWTH_BYTES_MAX);
  const outputs = readdirSync(join(warden.folder, 'state', 'logs')).length;
  assert.ok(outputs <= OUTPUTS_KEPT_MAX, `the output of ${outputs} sandboxes is kept`);
  const tree = join(warden.folder, 'state', 'sandboxes');
  warden.process.kill('SIGTERM');
  await until(() => !existsSync(tree));
});
