/**
 * The second line: freezes, then kills, by the deadline files alone. It holds no key and takes no command.
 * Promise: no sandbox runs past its paid time when the warden hangs, and none survives the warden.
 *
 * Usage: node reaper.ts <directory of deadline files> <mount point to remove at the end>; stdin is a pipe whose end means that the warden died.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REAPER_MARGIN_MS, remainingMs, systemClock } from '../warden/clock.ts';
import { type Deadline, readDeadlines, removeDeadline } from '../warden/deadline-file.ts';
import { becomeUrgent } from '../warden/urgency.ts';

const LOOK_EVERY_MS = 20;
const HIGH_PRIORITY = -18;
const CLEAN_TRIES_MAX = 250;
const GONE = new Set(['ENOENT', 'ENODEV', 'ESRCH']);

/** The tree may vanish at any moment: the warden destroys too. Without a tree nothing can be frozen, so it is killed. */
function put(deadline: Deadline, verb: 'freeze' | 'kill'): void {
  try {
    if (deadline.tree) writeFileSync(join(deadline.tree, `cgroup.${verb}`), '1');
    else if (deadline.pid) process.kill(deadline.pid, 'SIGKILL');
  } catch (fault) {
    if (!GONE.has((fault as NodeJS.ErrnoException).code ?? '')) throw fault;
  }
}

/**
 * Level-triggered: writing the state it already has costs nothing. Never thaws. `overSince` remembers, on monotonic time,
 * when a lease was first seen over, so that a jump of the wall clock freezes and does not kill.
 */
function enforce(deadline: Deadline, overSince: Map<string, number>): void {
  const lease = `${deadline.sandbox} ${deadline.incarnation} ${deadline.seq}`;
  if (remainingMs(deadline, systemClock, REAPER_MARGIN_MS) > 0) return void overSince.delete(lease);
  const nowMs = systemClock.monotonicMs();
  const sinceMs = overSince.get(lease) ?? nowMs;
  overSince.set(lease, sinceMs);
  put(deadline, nowMs - sinceMs > deadline.graceMs ? 'kill' : 'freeze');
}

function tryRemove(directory: string): boolean {
  try {
    rmdirSync(directory);
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'ENOENT';
  }
  return true;
}

/** A warden that ends politely has done this itself; then nothing is there. */
function removeMountPoint(mountPoint: string): void {
  if (!existsSync(mountPoint)) return;
  spawnSync('/bin/umount', ['--recursive', '--lazy', mountPoint]);
  tryRemove(mountPoint);
}

/** What dies there may still hold it, or write to it, for a moment. */
function tryClear(directory: string): boolean {
  try {
    rmSync(directory, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

/** The warden is gone: nobody can renew, so everything ends now. */
function endEverything(directory: string, mountPoint: string, triesLeft = CLEAN_TRIES_MAX): void {
  const deadlines = readDeadlines(directory);
  for (const deadline of deadlines) {
    put(deadline, 'kill');
    const isCleared = deadline.cgroupDirectories.map(tryRemove).every(Boolean) && tryClear(deadline.sandboxDirectory);
    if (isCleared) removeDeadline(directory, deadline.sandbox);
  }
  if (deadlines.length === 0 || triesLeft === 0) {
    removeMountPoint(mountPoint);
    process.exit(deadlines.length === 0 ? 0 : 1);
  }
  setTimeout(() => endEverything(directory, mountPoint, triesLeft - 1), LOOK_EVERY_MS);
}

function main(directory: string, mountPoint: string): void {
  becomeUrgent(HIGH_PRIORITY);
  const overSince = new Map<string, number>();
  const timer = setInterval(() => {
    for (const deadline of readDeadlines(directory)) enforce(deadline, overSince);
    process.stdout.write('.');
  }, LOOK_EVERY_MS);
  // The warden died; the end of stdin says so too.
  process.stdout.on('error', () => {});
  process.stdin.resume().once('close', () => {
    clearInterval(timer);
    endEverything(directory, mountPoint);
  });
}

main(process.argv[2] as string, process.argv[3] as string);
