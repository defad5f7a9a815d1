/**
 * Limits, freezes, kills and meters one sandbox through cgroups.
 * Promise: the same five verbs on pure v2 and on hybrid hosts, and a refusal that names the missing controller.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { refused } from './fault.ts';

export interface Limits {
  cpuMillis: number;
  memoryBytesMax: number;
  pidsMax: number;
}

/** Where this process may create children. `tree` is always cgroup v2: it freezes, kills and counts cpu time. */
export type Layout =
  | { kind: 'v2'; tree: string }
  | { kind: 'hybrid'; tree: string; cpu: string; memory: string; pids: string };

const CPU_PERIOD_MICROS = 100_000;
const CONTROLLERS = ['cpu', 'memory', 'pids'] as const;
type Controller = (typeof CONTROLLERS)[number];
type Write = [file: string, value: string];

interface MountPoint {
  type: string;
  path: string;
  options: string[];
}

function cgroupMounts(mountInfo: string): MountPoint[] {
  const mounts = mountInfo.split('\n').map((line) => line.split(' - '));
  return mounts.flatMap(([left = '', right = '']) => {
    const [type = '', , options = ''] = right.split(' ');
    if (!type.startsWith('cgroup')) return [];
    return [{ type, path: left.split(' ')[4] ?? '', options: options.split(',') }];
  });
}

/** Path of this process per controller; the empty name is the v2 tree. */
function ownPaths(selfCgroup: string): Map<string, string> {
  const lines = selfCgroup
    .trim()
    .split('\n')
    .map((line) => line.split(':'));
  return new Map(
    lines.flatMap(([, names = '', ...path]) => names.split(',').map((name) => [name, path.join(':')] as const)),
  );
}

const LEAF = 'warden';

/** A warden started from a shell that an earlier one moved into its leaf works beside it, not below. */
const outOfLeaf = (tree: string): string => (basename(tree) === LEAF ? dirname(tree) : tree);

/** @errors throws Fault `limits_not_enforceable` naming the controller that no mounted hierarchy offers. */
export function detectLayout(
  mountInfo = readFileSync('/proc/self/mountinfo', 'utf8'),
  selfCgroup = readFileSync('/proc/self/cgroup', 'utf8'),
  readControllers = (path: string): string => readFileSync(join(path, 'cgroup.controllers'), 'utf8'),
): Layout {
  const mounts = cgroupMounts(mountInfo);
  const own = ownPaths(selfCgroup);
  const unified = mounts.find((mount) => mount.type === 'cgroup2');
  if (!unified)
    throw refused('limits_not_enforceable', 'no cgroup v2 mount, so nothing can freeze or kill a whole tree', {
      missing: 'cgroup2',
    });
  const tree = outOfLeaf(resolve(join(unified.path, own.get('') ?? '/')));
  const offered = readControllers(tree).trim().split(' ');
  if (CONTROLLERS.every((name) => offered.includes(name))) return { kind: 'v2', tree };
  const controllerPath = (name: Controller): string => {
    const mount = mounts.find((candidate) => candidate.type === 'cgroup' && candidate.options.includes(name));
    if (!mount)
      throw refused('limits_not_enforceable', `no enforceable ${name} limit: its controller is not mounted`, {
        missing: name,
      });
    return resolve(join(mount.path, own.get(name) ?? '/'));
  };
  return {
    kind: 'hybrid',
    tree,
    cpu: controllerPath('cpu'),
    memory: controllerPath('memory'),
    pids: controllerPath('pids'),
  };
}

/** Pure v2 forbids processes beside child groups: step into a leaf, then hand the controllers down. */
export function prepareSlice(layout: Layout, slice: string): void {
  mkdirSync(join(layout.tree, slice), { recursive: true });
  if (layout.kind === 'hybrid') return;
  const leaf = join(layout.tree, LEAF);
  mkdirSync(leaf, { recursive: true });
  for (const pid of readFileSync(join(layout.tree, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
    writeFileSync(join(leaf, 'cgroup.procs'), pid);
  }
  const enable = CONTROLLERS.map((name) => `+${name}`).join(' ');
  writeFileSync(join(layout.tree, 'cgroup.subtree_control'), enable);
  writeFileSync(join(layout.tree, slice, 'cgroup.subtree_control'), enable);
}

function limitWritesV2(tree: string, limits: Limits): Write[] {
  return [
    [join(tree, 'cpu.max'), `${Math.round((limits.cpuMillis * CPU_PERIOD_MICROS) / 1_000)} ${CPU_PERIOD_MICROS}`],
    [join(tree, 'memory.max'), String(limits.memoryBytesMax)],
    [join(tree, 'memory.swap.max'), '0'],
    [join(tree, 'memory.oom.group'), '0'],
    [join(tree, 'pids.max'), String(limits.pidsMax)],
  ];
}

function limitWritesHybrid(paths: { cpu: string; memory: string; pids: string }, limits: Limits): Write[] {
  return [
    [join(paths.cpu, 'cpu.cfs_period_us'), String(CPU_PERIOD_MICROS)],
    [join(paths.cpu, 'cpu.cfs_quota_us'), String(Math.round((limits.cpuMillis * CPU_PERIOD_MICROS) / 1_000))],
    [join(paths.memory, 'memory.limit_in_bytes'), String(limits.memoryBytesMax)],
    [join(paths.memory, 'memory.memsw.limit_in_bytes'), String(limits.memoryBytesMax)],
    [join(paths.pids, 'pids.max'), String(limits.pidsMax)],
  ];
}

function counter(file: string, key: string): number {
  if (!existsSync(file)) return 0;
  return Number(new RegExp(`^${key} (\\d+)`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
}

export class Cgroup {
  readonly tree: string;
  readonly directories: string[];
  readonly #layout: Layout;
  readonly #memory: string;
  readonly #pids: string;
  readonly #cpu: string;

  /** `name` is slice/sandbox; every directory it needs exists and carries its limits when this returns. */
  constructor(layout: Layout, name: string, limits: Limits) {
    this.#layout = layout;
    this.tree = join(layout.tree, name);
    this.#memory = layout.kind === 'v2' ? this.tree : join(layout.memory, name);
    this.#pids = layout.kind === 'v2' ? this.tree : join(layout.pids, name);
    this.#cpu = layout.kind === 'v2' ? this.tree : join(layout.cpu, name);
    this.directories = [...new Set([this.tree, this.#cpu, this.#memory, this.#pids])];
    for (const directory of this.directories) mkdirSync(directory, { recursive: true });
    for (const [file, value] of this.#writes(limits)) writeFileSync(file, value);
  }

  #writes(limits: Limits): Write[] {
    return this.#layout.kind === 'v2'
      ? limitWritesV2(this.tree, limits)
      : limitWritesHybrid({ cpu: this.#cpu, memory: this.#memory, pids: this.#pids }, limits);
  }

  /** Gives what runs already other limits, of memory no less than before: v1 wants the larger bound written first. */
  raise(limits: Limits): void {
    for (const [file, value] of this.#writes(limits).reverse()) writeFileSync(file, value);
  }

  /** A launcher writes 0 into each before it becomes the sandbox: no instant of unlimited running. */
  get procsFiles(): string[] {
    return this.directories.map((directory) => join(directory, 'cgroup.procs'));
  }

  freeze(): void {
    writeFileSync(join(this.tree, 'cgroup.freeze'), '1');
  }

  thaw(): void {
    writeFileSync(join(this.tree, 'cgroup.freeze'), '0');
  }

  /** Kills every process of the tree at once, frozen or not. */
  kill(): void {
    writeFileSync(join(this.tree, 'cgroup.kill'), '1');
  }

  isFrozen(): boolean {
    return counter(join(this.tree, 'cgroup.events'), 'frozen') === 1;
  }

  isPopulated(): boolean {
    return counter(join(this.tree, 'cgroup.events'), 'populated') === 1;
  }

  pids(): number[] {
    return readFileSync(join(this.tree, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  }

  cpuMicrosUsed(): bigint {
    return BigInt(counter(join(this.tree, 'cpu.stat'), 'usage_usec'));
  }

  memoryBytesUsed(): number {
    const file = this.#layout.kind === 'v2' ? 'memory.current' : 'memory.usage_in_bytes';
    return Number(readFileSync(join(this.#memory, file), 'utf8'));
  }

  oomKills(): number {
    const file = this.#layout.kind === 'v2' ? 'memory.events' : 'memory.oom_control';
    return counter(join(this.#memory, file), 'oom_kill');
  }

  forksRefused(): number {
    return counter(join(this.#pids, 'pids.events'), 'max');
  }

  /** Waits until the tree is empty and removes its directories. @errors throws when REMOVE_MS_MAX passes first. */
  async remove(): Promise<void> {
    await removeWhenEmpty(this.directories);
  }
}

const REMOVE_MS_MAX = 5_000;

async function removeWhenEmpty(directories: string[]): Promise<void> {
  const giveUpAtMs = performance.now() + REMOVE_MS_MAX;
  for (const directory of directories) {
    while (!tryRemove(directory)) {
      if (performance.now() > giveUpAtMs) throw new Error(`cgroup still busy after ${REMOVE_MS_MAX} ms: ${directory}`);
      await sleep(1);
    }
  }
}

const rootsOf = (layout: Layout): string[] =>
  layout.kind === 'v2' ? [layout.tree] : [...new Set([layout.tree, layout.cpu, layout.memory, layout.pids])];

/** Kills whatever an earlier warden left below the slice and removes it with the slice; nothing there is well, too. */
export async function killAndRemove(layout: Layout, slice: string): Promise<void> {
  const killFile = join(layout.tree, slice, 'cgroup.kill');
  if (existsSync(killFile)) writeFileSync(killFile, '1');
  for (const root of rootsOf(layout)) {
    const directory = join(root, slice);
    const entries = existsSync(directory) ? readdirSync(directory, { withFileTypes: true }) : [];
    const children = entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
    await removeWhenEmpty([...children, directory]);
  }
}

function tryRemove(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (fault) {
    const code = (fault as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return false;
    throw fault;
  }
}
