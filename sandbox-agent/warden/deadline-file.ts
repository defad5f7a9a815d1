/**
 * The one thing warden and reaper share: a file per sandbox that says when it must stand still.
 * Promise: a reader sees the old deadline or the new one, never half of either.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Deadline {
  sandbox: string;
  incarnation: number;
  seq: number;
  paidUntilMs: number;
  endsAtMonotonicMs: number;
  /** How long the tree may stand frozen before it is killed. */
  graceMs: number;
  /** Directory to freeze and kill through cgroup v2; absent where only killing is possible. */
  tree: string | undefined;
  /** The outermost process, for machines without cgroups. */
  pid: number | undefined;
  /** What is left to remove when nobody else will: cgroups first, then files. */
  cgroupDirectories: string[];
  sandboxDirectory: string;
}

const SUFFIX = '.deadline.json';

export function writeDeadline(directory: string, deadline: Deadline): void {
  const path = join(directory, deadline.sandbox + SUFFIX);
  writeFileSync(`${path}.new`, JSON.stringify(deadline), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function removeDeadline(directory: string, sandbox: string): void {
  rmSync(join(directory, sandbox + SUFFIX), { force: true });
}

function readDeadline(path: string): Deadline[] {
  try {
    return [JSON.parse(readFileSync(path, 'utf8')) as Deadline];
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fault;
  }
}

export function readDeadlines(directory: string): Deadline[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(SUFFIX));
  return names.flatMap((name) => readDeadline(join(directory, name)));
}
