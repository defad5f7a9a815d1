/** A launcher that waits: given away once, indistinguishable, and never left behind; nor is what ends while it starts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { groundFor, hostCount, isGone, SHAPE, ticketOf, until } from '../testing/rig.ts';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import type { Disk } from './disk.ts';
import { Sandbox } from './sandbox.ts';
import { type Launcher, SpareLauncher } from './spare-launcher.ts';

const SPARE = ['--spare', '1'];
const IMAGE_MIB = 300;
const LOOK = `cat /proc/self/mountinfo | sed 's/^[0-9]* [0-9]* [0-9:]* //;s/loop[0-9]*/LOOP/' |
  sed 's/\\.[0-9]* /SLOT /;s/[ug]id=[0-9]*/OWN/g;s,/\\.[0-9]*/,/SLOT/,'; id -G | tr '0-9' '#'; hostname; ls -la /proc/1/fd /proc/self/fd | wc -l;
  env | sort; grep -E '^(Cap|Seccomp|NoNew)' /proc/self/status; ulimit -a; nice`;

const isUp = (warden: WardenProcess) => async (): Promise<boolean> =>
  (await warden.call('GET', '/v1/health')).json.launcher_ready;
const deadlines = (warden: WardenProcess): string => join(warden.folder, 'state', 'deadlines');
const deadline = (warden: WardenProcess, name: string) =>
  JSON.parse(readFileSync(join(deadlines(warden), name), 'utf8'));
const processes = (tree: string): number[] =>
  readFileSync(join(tree, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);

async function shell(warden: WardenProcess, sandbox: string, line: string): Promise<string> {
  const path = `/v1/sandboxes/${sandbox}/execs`;
  await warden.call('POST', path, { exec_id: 'look', argv: ['sh', '-c', line] });
  await warden.call('GET', `${path}/look?wait_ms=20000`);
  const { json } = await warden.call('GET', `${path}/look/output?after=0`);
  return json.chunks
    .map((one: { bytes_base64: string }) => Buffer.from(one.bytes_base64, 'base64').toString())
    .join('');
}

async function create(warden: WardenProcess, sandbox: string, changes: object): Promise<void> {
  const made = await warden.create(60_000, { sandbox, ...changes }, ticketOf(60_000, { sandbox }));
  assert.equal(made.status, 200, made.bytes.toString());
}

describe('a sandbox from the launcher that waits', () => {
  for (const [disk, disk_mib] of [
    ['in memory', 32],
    ['of an image', IMAGE_MIB],
  ] as const) {
    test(`has the limits that were asked and shows its tenant what another shows: a disk ${disk}`, async (context) => {
      const warden = await wardenFor(context, undefined, SPARE);
      await until(isUp(warden));
      const [slot = ''] = readdirSync(deadlines(warden));
      const { tree, cgroupDirectories } = deadline(warden, slot);
      await create(warden, 's0', { disk_mib, pids_max: 90 });
      await create(warden, 's1', { disk_mib, pids_max: 90 });
      assert.equal(deadline(warden, 's0.deadline.json').tree, tree, 'this one came from the launcher');
      assert.notEqual(deadline(warden, 's1.deadline.json').tree, tree);
      assert.equal(existsSync(join(deadlines(warden), slot)), false);
      const limits = cgroupDirectories.map((directory: string) => join(directory, 'pids.max'));
      assert.equal(readFileSync(limits.find(existsSync), 'utf8').trim(), '90');
      assert.equal(await shell(warden, 's0', LOOK), await shell(warden, 's1', LOOK));
      assert.match(await shell(warden, 's0', 'true'), /HOME=/);
      await until(isUp(warden));
    });
  }

  test('that dies unclaimed is cleared away', async (context) => {
    const warden = await wardenFor(context, undefined, SPARE);
    await until(isUp(warden));
    const [slot = ''] = readdirSync(deadlines(warden));
    const { tree } = deadline(warden, slot);
    for (const pid of processes(tree)) process.kill(pid, 'SIGKILL');
    await until(() => !existsSync(tree) && !existsSync(join(deadlines(warden), slot)));
  });

  for (const [signal, how] of [
    ['SIGTERM', 'ends'],
    ['SIGKILL', 'dies'],
  ] as const) {
    test(`is gone when its warden ${how}`, async (context) => {
      const warden = await wardenFor(context, undefined, SPARE);
      await until(isUp(warden));
      const { tree } = deadline(warden, readdirSync(deadlines(warden))[0] ?? '');
      const pids = processes(tree);
      assert.equal(pids.length, 1);
      warden.process.kill(signal);
      await until(() => pids.every(isGone) && !existsSync(tree));
    });
  }
});

test('a disk that cannot be made or mounted is a start that failed, and nothing is left of it', async (context) => {
  const ground = await groundFor(context);
  const nothing = hostCount(ground);
  const bad: [string, (disk: Disk) => Promise<void>][] = [
    ['no disk', () => Promise.reject(new Error('no disk'))],
    ['mount', async (disk) => writeFileSync(disk.kind === 'image' ? disk.file : '', 'no file system')],
  ];
  for (const [why, prepare] of bad) {
    const spare = new SpareLauncher({
      ground,
      isWanted: true,
      freeUid: () => ground.hostUidFirst,
      nextSlot: () => '.1',
    });
    await until(() => spare.isReady);
    const launcher = spare.claim() as Launcher;
    const shape = { ...SHAPE, diskBytesMax: IMAGE_MIB << 20 };
    await assert.rejects(Sandbox.enter(ground, launcher, shape, undefined, prepare), new RegExp(why));
    await spare.close();
    assert.deepEqual(hostCount(ground), nothing);
    assert.deepEqual(readdirSync(ground.deadlines), []);
  }
});

for (const more of [[], SPARE]) {
  const from = more.length > 0 ? 'a launcher' : 'nothing';
  test(`what is ended while it starts from ${from} leaves nothing behind`, async (context) => {
    const warden = await wardenFor(context, undefined, more);
    if (more.length > 0) await until(isUp(warden));
    const { pid } = warden.process;
    const started = warden.create(60_000, { disk_mib: IMAGE_MIB });
    await until(() => readdirSync(deadlines(warden)).includes('s0.deadline.json') || hasDisk(warden));
    const finished = await warden.call('POST', '/v1/sandboxes/s0/finish', {
      incarnation: 1,
      reason: 'stopped_by_owner',
      at_us: null,
    });
    assert.equal(finished.status, 200, finished.bytes.toString());
    const answer = await started;
    const view = (await warden.call('GET', '/v1/sandboxes/s0')).json;
    assert.equal(view.state, 'ended', `the create was answered ${answer.status}`);
    const left = (): string[] => readdirSync(join(warden.folder, 'state', 'sandboxes'));
    const [slot] = more.length > 0 ? ['.2'] : [];
    await until(() => left().filter((name) => name !== slot).length === 0);
    assert.equal(existsSync(join(deadlines(warden), 's0.deadline.json')), false);
    assert.equal(readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes('disk.img'), false);
  });
}

/** The disk is being made, so nothing has started yet. */
function hasDisk(warden: WardenProcess): boolean {
  const folder = join(warden.folder, 'state', 'sandboxes');
  return readdirSync(folder).some((name) => existsSync(join(folder, name, 'disk')));
}
