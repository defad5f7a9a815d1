/**
 * `npm run bench -- sandbox`: from nothing and from the warm pool to the first output, beside bare bubblewrap and runc,
 * and one command in a running sandbox beside one on the host; at level gvisor too, where `runsc` works.
 * Promise: every row of the table comes from the same interleaved rounds, with the same image, limits, uid and filter;
 * a ratio is the median of the rounds' own ratios.
 *
 * What is timed. Ours: from the create request to the first byte of `echo ok` in the caller's hands, through signed tickets, HTTP, the
 * warden and the guest. runc: from spawn to the first byte of the same program, with the same cgroup limits (cpu, memory, pids), the
 * same namespaces, refused calls, uid and memory disks, and no guest, no lease and no caller. `create_over_runc` is a start of a disk size that
 * the pool does not have: nothing of the sandbox stands ready but an empty launcher process in empty cgroups, as on every warden
 * (docs/decisions); `create_alone_over_runc` is the same on a warden without that launcher.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { localProvider, type Provider, type SandboxSpec } from '@tallystick/engine/adapters/provider';
import { RUN_TICKET_TYPE, type RunTicket, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import {
  Cgroup,
  type Ground,
  isolationOf,
  launch,
  planDisk,
  prepareGround,
  REFUSED_CALLS,
  removeGround,
  WARDEN_PROGRAM,
} from '@tallystick/sandbox-agent';
import type { BenchOptions, BenchResult } from './run.ts';

const ROUNDS = 15;
const WARM_EXECS_PER_ROUND = 3;
const MIB = 1 << 20;
const LIMITS = { cpuMillis: 1_000, memoryBytesMax: 256 * MIB, pidsMax: 64 };
const DISK_MIB = 64;
/** The pool's disk size is another one, so that who asks for DISK_MIB always starts from nothing. */
const POOL_DISK_MIB = 512;
const POOL_MS_MAX = 30_000;
const ECHO = ['/usr/bin/echo', 'ok'];
const key = signingKeyFromSeed(Buffer.alloc(32, 5));

/** Milliseconds of one attempt. */
type Contestant = () => Promise<number>;

interface Machine {
  provider: Provider;
  warden: ChildProcess;
}

interface Bed extends Machine {
  folder: string;
  ground: Ground;
  /** Only where `runsc` works. */
  /** A warden that keeps nothing ahead. */
  alone: Machine;
  gvisor: Machine | undefined;
  made: number;
}

/** Milliseconds from `start` to the first output; waits until the process has closed. @errors rejects without output */
async function firstOutput(start: () => ChildProcess): Promise<number> {
  const startedAtMs = performance.now();
  const child = start();
  let ms: number | undefined;
  let complaint = '';
  child.stdout?.on('data', () => {
    ms ??= performance.now() - startedAtMs;
  });
  child.stderr?.on('data', (bytes) => {
    complaint += bytes;
  });
  await once(child, 'close');
  if (ms === undefined) throw new Error(`no output: ${complaint}`);
  return ms;
}

/** bubblewrap with the same cgroups, uid and filter, and no guest. */
async function bareBwrap({ ground }: Bed, name: string): Promise<number> {
  const directory = join(ground.sandboxes, name);
  let cgroup: Cgroup | undefined;
  const ms = await firstOutput(() => {
    mkdirSync(join(directory, 'socket'), { recursive: true, mode: 0o711 });
    cgroup = new Cgroup(ground.layout, join(ground.slice, name), LIMITS);
    const disk = planDisk(directory, DISK_MIB * MIB);
    return launch(isolationOf(ground, directory, ground.hostUidFirst, disk, cgroup.procsFiles), ECHO);
  });
  await cgroup?.remove();
  rmSync(directory, { recursive: true });
  return ms;
}

const tmpfs = (destination: string, bytesMax: number): object => {
  return { destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', `size=${bytesMax}`, 'mode=1777'] };
};
const bind = (source: string): object => {
  return { destination: source, type: 'bind', source, options: ['rbind', 'ro', 'nosuid'] };
};

/** Memory disks and their MiB, as our sandboxes have them. */
const DISKS: [path: string, mib: number][] = [
  ['/dev/shm', 16],
  ['/tmp', 16],
  ['/home', DISK_MIB],
  ['/run', 1],
];

/** The OCI configuration that gives runc the same sandbox: image, limits, namespaces, uid and refused calls. */
function runcConfig({ hostUidFirst, slice }: Ground): object {
  const mapping = [
    { containerID: 1_000, hostID: hostUidFirst, size: 1 },
    { containerID: 0, hostID: hostUidFirst + 1, size: 1 },
  ];
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  const namespaces = ['pid', 'network', 'ipc', 'uts', 'mount', 'user', 'cgroup'].map((type) => ({ type }));
  const resources = {
    devices: [{ allow: false, access: 'rwm' }],
    memory: { limit: LIMITS.memoryBytesMax },
    pids: { limit: LIMITS.pidsMax },
    cpu: { quota: LIMITS.cpuMillis * 100, period: 100_000 },
  };
  const syscalls = [{ names: Object.keys(REFUSED_CALLS), action: 'SCMP_ACT_ERRNO', errnoRet: 1 }];
  const seccomp = { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86_64'], syscalls };
  const user = { uid: 1_000, gid: 1_000 };
  const env = ['PATH=/usr/bin:/bin'];
  const dev = { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] };
  const proc = { destination: '/proc', type: 'proc', source: 'proc' };
  const system = ['/usr', '/lib', '/lib64'].filter((path) => existsSync(path)).map(bind);
  return {
    ociVersion: '1.0.2',
    process: { terminal: false, user, args: ECHO, env, cwd: '/', capabilities: none, noNewPrivileges: true },
    root: { path: 'rootfs', readonly: true },
    hostname: 'sandbox',
    mounts: [proc, dev, ...system, ...DISKS.map(([path, mib]) => tmpfs(path, mib * MIB))],
    linux: {
      cgroupsPath: `/${slice}-runc`,
      uidMappings: mapping,
      gidMappings: mapping,
      namespaces,
      resources,
      seccomp,
    },
  };
}

/** With a user namespace runc cannot make mount points in a root directory it does not own. */
function prepareRunc({ folder, ground }: Bed): void {
  for (const name of ['proc', 'dev', 'usr', 'lib', 'lib64', 'tmp', 'home', 'run']) {
    mkdirSync(join(folder, 'bundle', 'rootfs', name), { recursive: true, mode: 0o755 });
  }
  writeFileSync(join(folder, 'bundle', 'config.json'), JSON.stringify(runcConfig(ground)));
}

function runc({ folder, ground }: Bed, name: string): Promise<number> {
  const flags = ['--root', join(folder, 'runc'), 'run', '--bundle', join(folder, 'bundle'), `${ground.slice}-${name}`];
  return firstOutput(() => spawn('runc', flags, { stdio: ['ignore', 'pipe', 'pipe'] }));
}

function ticketFor(sandbox: string) {
  const ticket: RunTicket = {
    sandbox,
    incarnation: 1,
    seq: 1,
    minutes: 10,
    starts_at_us: '0',
    paid_until_us: String((Date.now() + 600_000) * 1_000),
    duration_ms: 600_000,
    price_micros: '0',
    job: 'job_bench',
    receipt: 'rcp_bench',
    receipt_hash: '0'.repeat(64),
    final: false,
  };
  return signEnvelope(RUN_TICKET_TYPE, { ...ticket }, key);
}

function specFor(sandbox: string, diskMib = DISK_MIB): SandboxSpec {
  const { cpuMillis, memoryBytesMax, pidsMax } = LIMITS;
  const shape = { cpu_millis: cpuMillis, memory_mib: memoryBytesMax / MIB, disk_mib: diskMib, pids_max: pidsMax };
  return { sandbox, incarnation: 1, image: 'sandbox-base:v1.0.0', grace_ms: 1_000, ...shape };
}

async function echo(provider: Provider, sandbox: string, execId: string): Promise<void> {
  await provider.startExec(sandbox, { exec_id: execId, argv: ECHO });
  const { chunks } = await provider.output(sandbox, execId, { waitMs: 10_000 });
  if (chunks[0]?.bytes.toString() !== 'ok\n') throw new Error(`echo said ${chunks[0]?.bytes}`);
}

/** Through the whole product path: signed caller tickets, HTTP, RunTicket, warden, guest. */
async function createToFirst({ provider }: Machine, name: string, diskMib?: number): Promise<number> {
  const startedAtMs = performance.now();
  await provider.create(specFor(name, diskMib), ticketFor(name));
  await echo(provider, name, 'first');
  const ms = performance.now() - startedAtMs;
  await provider.finish(name, { incarnation: 1, reason: 'bench_over', at_us: null });
  return ms;
}

async function isReady(socketPath: string): Promise<boolean> {
  const sent = request({ socketPath, path: '/v1/health', agent: false }).end();
  const [response] = (await once(sent, 'response')) as [AsyncIterable<Buffer>];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const { warm_ready, launcher_ready } = JSON.parse(Buffer.concat(chunks).toString());
  return warm_ready > 0 && launcher_ready;
}

/** @errors rejects when the pool does not fill up again */
async function poolFull({ folder }: Bed): Promise<void> {
  const giveUpAtMs = performance.now() + POOL_MS_MAX;
  while (!(await isReady(join(folder, 'w.sock')))) {
    if (performance.now() > giveUpAtMs) throw new Error(`the pool is empty after ${POOL_MS_MAX} ms`);
    await sleep(20);
  }
}

/** The pool fills up again before the next contestant: its work must not count against who runs meanwhile. */
async function claimToFirst(bed: Bed, name: string): Promise<number> {
  const ms = await createToFirst(bed, name, POOL_DISK_MIB);
  await poolFull(bed);
  return ms;
}

/** The launcher of the round before must have been replaced, as it is a quarter of a second after every start. */
async function coldToFirst(bed: Bed, name: string): Promise<number> {
  await poolFull(bed);
  return createToFirst(bed, name);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAtMs = performance.now();
  await work();
  return performance.now() - startedAtMs;
}

async function makeBed(): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-bench-'));
  // runc's mapped root must be able to walk here.
  chmodSync(folder, 0o711);
  const machine = await startMachine(folder, 'w', ['--warm', '1', '--warm-disk-mib', String(POOL_DISK_MIB)]);
  const alone = await startMachine(folder, 'a', ['--warm', '0', '--spare', '0']);
  const gvisor = await startMachine(folder, 'g', ['--warm', '0', '--isolation', 'gvisor']).catch(() => undefined);
  const ground = await prepareGround(join(folder, 'bare'));
  return { folder, ground, ...machine, alone, gvisor, made: 0 };
}

/** @errors rejects when the warden does not start; it has said why then */
async function startMachine(folder: string, name: string, flags: string[]): Promise<Machine> {
  const keys = ['--lease-key', '--caller-key'].flatMap((flag) => [flag, key.publicKey.toString('base64')]);
  const socketPath = join(folder, `${name}.sock`);
  const where = ['--folder', join(folder, `warden-${name}`), '--socket', socketPath];
  const warden = spawn(process.execPath, [WARDEN_PROGRAM, ...where, ...keys, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(warden.stdout, 'data'),
    once(warden, 'exit').then(() => Promise.reject(new Error('the warden did not start'))),
  ]);
  return { warden, provider: localProvider({ socketPath, callerKey: key }) };
}

async function stopMachine({ provider, warden }: Machine): Promise<void> {
  await provider.close();
  warden.kill('SIGTERM');
  await once(warden, 'exit');
}

async function clear({ folder, ground, alone, gvisor, ...machine }: Bed): Promise<void> {
  await stopMachine(machine);
  await stopMachine(alone);
  if (gvisor) await stopMachine(gvisor);
  await removeGround(ground, join(folder, 'bare'));
  rmSync(folder, { recursive: true, force: true });
}

/** Every contestant once per round, in turn; the first round warms caches and is not counted. */
async function interleaved(contestants: Record<string, Contestant>, rounds: number): Promise<Map<string, number[]>> {
  const samples = new Map<string, number[]>(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, run] of Object.entries(contestants)) {
      const ms = await run();
      if (round > 0) samples.get(name)?.push(ms);
    }
  }
  return samples;
}

const median = (list: number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
const rounded = (ms: number): number => Math.round(ms * 100) / 100;

/** The median of the rounds' own ratios: what slows a round down slows both down. */
function overRunc(samples: Map<string, number[]>, row: string): number {
  const runcs = samples.get(RUNC) ?? [];
  return rounded(median((samples.get(row) ?? []).map((ms, round) => ms / (runcs[round] ?? Number.NaN))));
}

/** Names of the rows. */
const OURS = 'tallystick: create, exec, first output';
const ALONE = 'tallystick: the same without a waiting launcher';
const POOL = 'tallystick: the same from the warm pool';
const WARM = 'tallystick: exec in a running sandbox';
const GVISOR = 'tallystick: create, exec, first output at level gvisor';
const SPAWN = 'spawn on the host';
const RUNC = 'runc run, no guest';
const BWRAP = 'bubblewrap, no guest';

async function measure(bed: Bed, rounds: number): Promise<Map<string, number[]>> {
  const name = (): string => `b${++bed.made}`;
  await poolFull(bed);
  await bed.provider.create(specFor('warm'), ticketFor('warm'));
  const warmExec = async (): Promise<number> => {
    const list: number[] = [];
    for (let count = 0; count < WARM_EXECS_PER_ROUND; count += 1) {
      list.push(await timed(() => echo(bed.provider, 'warm', name())));
    }
    return median(list);
  };
  const { gvisor } = bed;
  const atGvisor: Record<string, Contestant> = gvisor ? { [GVISOR]: () => createToFirst(gvisor, name()) } : {};
  return interleaved(
    {
      [BWRAP]: () => bareBwrap(bed, name()),
      [RUNC]: () => runc(bed, name()),
      [OURS]: () => coldToFirst(bed, name()),
      [ALONE]: () => createToFirst(bed.alone, name()),
      [POOL]: () => claimToFirst(bed, name()),
      [SPAWN]: () => firstOutput(() => spawn(ECHO[0] as string, ECHO.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })),
      [WARM]: warmExec,
      ...atGvisor,
    },
    rounds,
  );
}

/** Options: `rounds`. Needs root, bubblewrap and runc. */
export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const bed = await makeBed();
  try {
    prepareRunc(bed);
    const samples = await measure(bed, Number(options['rounds'] ?? ROUNDS));
    const medianOf = (row: string): number => median(samples.get(row) ?? []);
    const table = [...samples].map(([what, list]) => ({
      what,
      min_ms: rounded(Math.min(...list)),
      median_ms: rounded(median(list)),
      over_runc: overRunc(samples, what),
    }));
    const figures = {
      create_ms: rounded(medianOf(OURS)),
      create_over_runc: overRunc(samples, OURS),
      create_alone_over_runc: overRunc(samples, ALONE),
      memory_mib: rounded((await bed.provider.get('warm')).memory_bytes / MIB),
      pool_create_ms: rounded(medianOf(POOL)),
      warm_exec_ms: rounded(medianOf(WARM)),
      warm_exec_over_spawn_ms: rounded(medianOf(WARM) - medianOf(SPAWN)),
      runc_ms: rounded(medianOf(RUNC)),
      bwrap_ms: rounded(medianOf(BWRAP)),
      ...(bed.gvisor ? { gvisor_create_ms: rounded(medianOf(GVISOR)) } : {}),
    };
    return { name: 'sandbox', figures, table };
  } finally {
    await clear(bed);
  }
}
