/**
 * gVisor's `runsc` on this machine: where it lies, what it understands, and how it is told to run a sandbox.
 * Promise: a flag is given only to a `runsc` that knows it; the platform is one that a trial has shown to work.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** How the sentry catches system calls; the quicker one first. `kvm` is left out: it needs more than a device file. */
export const PLATFORMS = ['systrap', 'ptrace'] as const;
export type Platform = (typeof PLATFORMS)[number];

export interface Runsc {
  /** Host file. */
  file: string;
  /** The first line of `runsc --version`. */
  version: string;
  platform: Platform;
  /** Names of the flags that it knows. */
  flags: ReadonlySet<string>;
}

const FOLDERS = ['/usr/local/bin', '/usr/local/sbin', '/usr/bin', '/usr/sbin', '/bin'];
const ANSWER_MS_MAX = 10_000;

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function runscFile(): string | undefined {
  return FOLDERS.map((folder) => join(folder, 'runsc')).find(isExecutable);
}

/** What it prints on either stream. @errors throws when it does not run or fails */
function answerOf(file: string, argument: string): string {
  const { status, stdout, stderr, error } = spawnSync(file, [argument], { encoding: 'utf8', timeout: ANSWER_MS_MAX });
  if (status !== 0) throw error ?? new Error(`${file} ${argument} ended with ${status}`);
  return stdout + stderr;
}

/** `file` once for each platform that it claims to have. @errors throws when it does not run at all */
export function candidates(file: string): Runsc[] {
  const told = answerOf(file, 'flags');
  const flags = new Set([...told.matchAll(/^ {2}-([a-z0-9_-]+)/gim)].map(([, name = '']) => name));
  const version = answerOf(file, '--version').split('\n')[0] ?? '';
  const platformLine = /^ {2}-platform .*\n.*$/m.exec(told)?.[0] ?? '';
  const claimed = PLATFORMS.filter((platform) => platformLine.includes(platform));
  return claimed.map((platform) => ({ file, version, platform, flags }));
}

/**
 * No network, no cgroups of its own (it is born in the sandbox's), the guest's socket and no other way to the host;
 * files are opened by the gofer, never by the sentry, and written to the disk that is bound, not to a layer above it.
 */
export function runscArguments({ platform, flags }: Runsc): string[] {
  const where = flags.has('directfs') ? ['--directfs=false'] : [];
  const overlay = flags.has('overlay2') ? ['--overlay2=none'] : [];
  const socket = flags.has('host-uds') ? '--host-uds=open' : '--fsgofer-host-uds';
  const fixed = ['--rootless', '--ignore-cgroups', '--network=none', '--oci-seccomp', `--platform=${platform}`];
  return [...fixed, ...where, ...overlay, socket];
}
