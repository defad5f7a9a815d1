/**
 * What a sandbox is made of, whichever way it is entered: the image `sandbox-base:v1.0.0`, its user, its places.
 * Promise: the image is the host's own /usr, read-only, with Node; nothing of the host's users or names shows.
 */
import type { Disk } from './disk.ts';
import type { Runsc } from './runsc.ts';

/**
 * `gvisor`: the tenant's system calls are answered by a kernel of its own, which runs inside what `ns` is made of.
 * `ns-lite`: without bubblewrap, so without seccomp and user namespace; for development only.
 */
export type Level = 'gvisor' | 'ns' | 'ns-lite';

export interface Isolation {
  /** Host uid and gid, different for every sandbox. */
  hostUid: number;
  disk: Disk;
  /** File with the seccomp filter's bytes. */
  filterFile: string;
  /** Host file shown read-only as /opt/node/bin/node. */
  nodeFile: string;
  /** Host directory shown read-only at /run/guest: the guest's socket. */
  socketDirectory: string;
  /** Host directory shown read-only at /opt/guest: the guest's program, and /etc files of the image. */
  guestDirectory: string;
  level: Level;
  /** An empty host directory, for `ns-lite` to build its root on and for `gvisor` to keep its bundle in. */
  rootDirectory: string;
  /** Only of `gvisor`. */
  runsc: Runsc | undefined;
  /** Files that a joining process writes 0 into. */
  procsFiles: string[];
}

export const HOME = '/home/user';
export const TENANT_PATH = '/opt/node/bin:/usr/local/bin:/usr/bin:/bin';
export const GUEST_UID = '1000';
export const SCRATCH_BYTES = 16 * 1024 * 1024;
/** A memory disk for released secrets; its pages count against the sandbox's memory and are never swapped. */
export const SECRETS_FOLDER = '/run/secrets';
export const SECRETS_DISK_BYTES = 1024 * 1024;
export const OF_ETC = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'ssl/certs'];
/** Files of /etc that the image brings itself: nothing of the host's users or names shows. */
export const IMAGE_ETC: Record<string, string> = {
  passwd: `root:x:0:0:root:/:/usr/sbin/nologin\nuser:x:${GUEST_UID}:${GUEST_UID}:user:${HOME}:/bin/sh\n`,
  group: `root:x:0:\nuser:x:${GUEST_UID}:\n`,
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
};

/** Between the uids of a gVisor sandbox's processes and of its files: above all uids that sandboxes are given. */
const FILE_UIDS_ABOVE = 1_000_000;

/** Host uid that owns what the tenant writes: of its processes, but at `gvisor` they have another. */
export const fileUid = (level: Level, hostUid: number): number =>
  level === 'gvisor' ? hostUid + FILE_UIDS_ABOVE : hostUid;

/** Launched by root, bubblewrap alone would stay host uid 0; setpriv gives every sandbox its own. */
export function setprivArguments(hostUid: number): string[] {
  return [
    `--reuid=${hostUid}`,
    `--regid=${hostUid}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
  ];
}
