/** Cgroup layouts, the limits that are written, and what the kernel makes of them on this machine. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { groundFor, temporaryFolder, until } from '../testing/rig.ts';
import { Cgroup, detectLayout, prepareSlice } from './cgroup.ts';

const LIMITS = { cpuMillis: 250, memoryBytesMax: 64 << 20, pidsMax: 32 };
const mount = (path: string, type: string, options: string): string =>
  `30 20 0:25 / ${path} rw - ${type} ${type} ${options}`;

test('layout: pure v2 when the own group offers cpu, memory and pids', () => {
  const layout = detectLayout(mount('/cg', 'cgroup2', 'rw'), '0::/user/a', () => 'cpu io memory pids');
  assert.deepEqual(layout, { kind: 'v2', tree: '/cg/user/a' });
});

test('layout: hybrid nests under the own path of each controller', () => {
  const mounts = [
    mount('/cg/u', 'cgroup2', 'rw'),
    mount('/cg/cpu', 'cgroup', 'rw,cpu,cpuacct'),
    mount('/cg/mem', 'cgroup', 'rw,memory'),
    mount('/cg/pids', 'cgroup', 'rw,pids'),
  ];
  const layout = detectLayout(mounts.join('\n'), '4:memory:/mine\n2:cpu,cpuacct:/\n8:pids:/p\n0::/t', () => '');
  assert.deepEqual(layout, {
    kind: 'hybrid',
    tree: '/cg/u/t',
    cpu: '/cg/cpu',
    memory: '/cg/mem/mine',
    pids: '/cg/pids/p',
  });
});

test('layout: a refusal names what is missing', () => {
  assert.throws(() => detectLayout('', '0::/', () => ''), /no cgroup v2 mount/);
  assert.throws(() => detectLayout(mount('/cg', 'cgroup2', 'rw'), '0::/', () => 'cpu'), /no enforceable cpu limit/);
});

test("layout: a warden in an earlier one's leaf works beside it", () => {
  const layout = detectLayout(mount('/cg', 'cgroup2', 'rw'), '0::/user/warden', () => 'cpu io memory pids');
  assert.deepEqual(layout, { kind: 'v2', tree: '/cg/user' });
});

/** Plain directories stand in where the kernel offers no v2 controllers: which files get which words is what is shown. */
test('pure v2 backend: steps into a leaf, hands controllers down, writes the limits', () => {
  const tree = temporaryFolder();
  writeFileSync(join(tree, 'cgroup.procs'), '');
  const layout = { kind: 'v2', tree } as const;
  prepareSlice(layout, 'slice');
  const group = new Cgroup(layout, 'slice/s0', LIMITS);
  const written = (file: string): string => readFileSync(join(tree, file), 'utf8');
  assert.equal(written('cgroup.subtree_control'), '+cpu +memory +pids');
  assert.equal(written('slice/cgroup.subtree_control'), '+cpu +memory +pids');
  assert.equal(written('slice/s0/cpu.max'), '25000 100000');
  assert.equal(written('slice/s0/memory.max'), String(64 << 20));
  assert.equal(written('slice/s0/pids.max'), '32');
  assert.deepEqual(group.procsFiles, [join(tree, 'slice/s0/cgroup.procs')]);
  rmSync(tree, { recursive: true });
});

test("this machine's backend: the cpu quota bites, cpu time is metered, frozen time costs none", async (context) => {
  const ground = await groundFor(context);
  const group = new Cgroup(ground.layout, join(ground.slice, 'spin'), LIMITS);
  const join0 = group.procsFiles.map((file) => `echo 0 > ${file}`).join('; ');
  const spinner = spawn('sh', ['-c', `${join0}; while :; do :; done`]);
  await until(() => group.cpuMicrosUsed() > 0n);
  const startedAtMs = performance.now();
  const usedBefore = group.cpuMicrosUsed();
  await sleep(1_000);
  const share = Number(group.cpuMicrosUsed() - usedBefore) / 1_000 / (performance.now() - startedAtMs);
  context.diagnostic(`backend ${ground.layout.kind}; asked for 25 %, got ${(share * 100).toFixed(1)} %`);
  assert.ok(share < 0.3);
  group.freeze();
  await until(() => group.isFrozen());
  const usedFrozen = group.cpuMicrosUsed();
  await sleep(200);
  assert.equal(group.cpuMicrosUsed(), usedFrozen);
  group.thaw();
  await until(() => group.cpuMicrosUsed() > usedFrozen);
  const gone = new Promise((resolve) => spinner.once('exit', resolve));
  group.kill();
  await gone;
  await group.remove();
});
