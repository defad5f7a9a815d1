/**
 * What a platform holds of its host: memory, descriptors, processes, mounts, cgroups, loop devices, files.
 * Promise: read from the kernel, per program; nothing is asked of the platform itself.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Platform, ProgramName } from './platform.ts';
import { childrenOf } from './processes.ts';

export const PROGRAMS: readonly ProgramName[] = ['database', 'warden', 'meter', 'api'];
const PAGE_KIB = 4;

/** One look; the names say what and of whom, e.g. `api memory KiB`. */
export type Footprint = Record<string, number>;

const textOf = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

const linesNaming = (text: string, word: string): number =>
  text.split('\n').filter((line) => line.includes(word)).length;

/** Of a process and all below it. */
function descendants(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendants(child)]);
}

const memoryKib = (pid: number): number => Number(textOf(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * PAGE_KIB;
const descriptors = (pid: number): number => namesIn(`/proc/${pid}/fd`).length;
const threads = (pid: number): number => namesIn(`/proc/${pid}/task`).length;

/** Directories of cgroups that belong to this platform's warden. */
function cgroups(platform: Platform): number {
  const deadlines = join(wardenFolderOf(platform), 'deadlines');
  const slices = namesIn(deadlines).flatMap((name) => {
    const text = textOf(join(deadlines, name));
    return text === '' ? [] : [dirname((JSON.parse(text) as { tree: string }).tree)];
  });
  return [...new Set(slices)].reduce((sum, slice) => sum + directoriesIn(slice), 0);
}

const directoriesIn = (folder: string): number =>
  existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length : 0;

const wardenFolderOf = ({ folder }: Platform): string => join(folder, 'warden');

export function footprintOf(platform: Platform): Footprint {
  const found: Footprint = {};
  for (const name of PROGRAMS) {
    const pid = platform.pid(name);
    found[`${name} memory KiB`] = memoryKib(pid);
    found[`${name} descriptors`] = descriptors(pid);
    found[`${name} threads`] = threads(pid);
    found[`${name} processes`] = descendants(pid).length;
  }
  const warden = platform.pid('warden');
  found['warden mounts'] = textOf(`/proc/${warden}/mountinfo`).split('\n').length;
  found['host mounts'] = linesNaming(textOf('/proc/self/mountinfo'), platform.folder);
  found['cgroups'] = cgroups(platform);
  found['kept output files'] = filesBelow(join(wardenFolderOf(platform), 'logs'));
  const files = filesBelow(join(platform.folder, 'run')) + filesBelow(wardenFolderOf(platform));
  found['files'] = files - found['kept output files'];
  return found;
}

function filesBelow(folder: string): number {
  try {
    return readdirSync(folder, { recursive: true }).length;
  } catch {
    return 0; // something was removed while it was read: the next look counts
  }
}

/**
 * Theil and Sen: the median of the slopes between all pairs, so that a few odd looks do not count.
 * `points`: minutes and amounts. Per minute.
 */
export function slopePerMinute(points: readonly (readonly [minutes: number, amount: number])[]): number {
  const slopes = points.flatMap(([x, y], at) =>
    points.slice(at + 1).flatMap(([later, amount]) => (later > x ? [(amount - y) / (later - x)] : [])),
  );
  slopes.sort((a, b) => a - b);
  return slopes[Math.floor(slopes.length / 2)] ?? 0;
}
