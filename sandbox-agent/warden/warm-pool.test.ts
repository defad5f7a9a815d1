/** Sandboxes booted ahead: given away once, indistinguishable, frozen until then, and never left behind. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isGone, temporaryFolder, ticketOf, until } from '../testing/rig.ts';
import { spawnWarden, type WardenProcess, wardenFor } from '../testing/warden-process.ts';

const WARM = ['--warm', '1', '--warm-disk-mib', '32'];
const LOOK = `cat /proc/self/mountinfo | sed 's/^[0-9]* [0-9]* [0-9:]* //' | sed 's/\\.[0-9]* /SLOT /;s,/\\.[0-9]*/,/SLOT/,';
  id; hostname; ls -lan /home/user /tmp /run; env | sort; grep -E '^(Cap|Uid|Seccomp|NoNew)' /proc/self/status`;

const isFull = (warden: WardenProcess) => async (): Promise<boolean> =>
  (await warden.call('GET', '/v1/health')).json.warm_ready === 1;

const deadlinesOf = (warden: WardenProcess): string[] => readdirSync(join(warden.folder, 'state', 'deadlines')).sort();

function deadline(warden: WardenProcess, name: string) {
  return JSON.parse(readFileSync(join(warden.folder, 'state', 'deadlines', name), 'utf8'));
}

async function shell(warden: WardenProcess, sandbox: string, line: string): Promise<string> {
  await warden.call('POST', `/v1/sandboxes/${sandbox}/execs`, { exec_id: 'look', argv: ['sh', '-c', line] });
  await warden.call('GET', `/v1/sandboxes/${sandbox}/execs/look?wait_ms=20000`);
  const { json } = await warden.call('GET', `/v1/sandboxes/${sandbox}/execs/look/output?after=0`);
  const said = json.chunks.map((chunk: { bytes_base64: string }) =>
    Buffer.from(chunk.bytes_base64, 'base64').toString(),
  );
  return said
    .join('')
    .replaceAll(/\d\d:\d\d/g, 'TIME')
    .replaceAll(/[ug]id=\d{7}/g, 'OWN');
}

describe('a sandbox from the pool', () => {
  test('is frozen until its claim, gets the limits that were asked, and lives by its own lease', async (context) => {
    const warden = await wardenFor(context, undefined, WARM);
    await until(isFull(warden));
    const [slot = ''] = deadlinesOf(warden);
    const { tree, cgroupDirectories } = deadline(warden, slot);
    assert.match(readFileSync(join(tree, 'cgroup.events'), 'utf8'), /frozen 1/);
    const shape = { memory_mib: 200, pids_max: 40, grace_ms: 0 };
    // By the wall clock it is paid for longer, so that a slow machine's way to the claim is not taken from the lease.
    const created = await warden.create(3_000, shape, ticketOf(60_000, { duration_ms: 3_000 }));
    assert.equal(created.status, 200, created.bytes.toString());
    assert.equal(deadline(warden, 's0.deadline.json').tree, tree, 'this one came from the pool');
    assert.equal(existsSync(join(warden.folder, 'state', 'deadlines', slot)), false);
    const limit = cgroupDirectories
      .map((directory: string) => join(directory, 'pids.max'))
      .find((file: string) => existsSync(file));
    assert.equal(readFileSync(limit, 'utf8').trim(), '40');
    const { lease, running_ms } = (await warden.call('GET', '/v1/sandboxes/s0')).json;
    assert.ok(lease.remaining_ms + running_ms > 2_900, 'nothing of the lease is spent before the claim');
    assert.equal(await shell(warden, 's0', 'echo here'), 'here\n');
    await until(async () => (await warden.call('GET', '/v1/sandboxes/s0')).json.state === 'ended');
    await until(() => !existsSync(tree));
  });

  test('shows its tenant nothing that one started for it would not', async (context) => {
    const warden = await wardenFor(context, undefined, WARM);
    await until(isFull(warden));
    await warden.create(60_000);
    const cold = { sandbox: 's1', disk_mib: 32 };
    // The pool is empty now; its next one takes longer than this start may wait for.
    await warden.create(60_000, cold, ticketOf(60_000, { sandbox: 's1' }));
    const uids = ['s0', 's1'].map((name) => {
      const [pid] = readFileSync(join(deadline(warden, `${name}.deadline.json`).tree, 'cgroup.procs'), 'utf8').split(
        '\n',
      );
      return /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    });
    assert.notEqual(uids[0], uids[1]);
    assert.equal(await shell(warden, 's0', LOOK), await shell(warden, 's1', LOOK));
  });

  test('is not given for another disk size, and the pool fills up again after a claim', async (context) => {
    const warden = await wardenFor(context, undefined, WARM);
    await until(isFull(warden));
    await warden.create(60_000, { disk_mib: 33 });
    assert.equal((await warden.call('GET', '/v1/health')).json.warm_ready, 1);
    const name = { sandbox: 's1' };
    await warden.create(60_000, name, ticketOf(60_000, name));
    assert.equal((await warden.call('GET', '/v1/health')).json.warm_ready, 0);
    await until(isFull(warden));
  });

  test('that dies unclaimed is cleared away and replaced', async (context) => {
    const warden = await wardenFor(context, undefined, WARM);
    await until(isFull(warden));
    const [slot = ''] = deadlinesOf(warden);
    const { tree } = deadline(warden, slot);
    for (const pid of readFileSync(join(tree, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
      process.kill(Number(pid), 'SIGKILL');
    }
    await until(() => !existsSync(tree) && !deadlinesOf(warden).includes(slot));
    await until(isFull(warden));
  });

  for (const [signal, how] of [
    ['SIGTERM', 'ends'],
    ['SIGKILL', 'dies'],
  ] as const) {
    test(`is gone when its warden ${how}`, async (context) => {
      const warden = await wardenFor(context, undefined, WARM);
      await until(isFull(warden));
      const { tree } = deadline(warden, deadlinesOf(warden)[0] ?? '');
      const pids = readFileSync(join(tree, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
      assert.ok(pids.length > 1);
      warden.process.kill(signal);
      await until(() => pids.every(isGone) && !existsSync(tree));
    });
  }
});

for (const [flag, value] of [
  ['--warm', '17'],
  ['--warm', '-1'],
  ['--warm', 'two'],
  ['--warm-disk-mib', '1048577'],
] as const) {
  test(`a pool of ${flag} ${value} is refused`, async (context) => {
    const folder = temporaryFolder();
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const warden = spawnWarden(folder, [`${flag}=${value}`]);
    let said = '';
    for await (const bytes of warden.stderr ?? []) said += bytes;
    assert.match(said, /"bad_option"/);
  });
}
