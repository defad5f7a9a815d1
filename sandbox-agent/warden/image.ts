/**
 * What a sandbox is made of, whichever way it is entered: the image `sandbox-base:v1.0.0`, its user, its places.
 * Promise: the image is the host's own /usr, read-only, with Node; nothing of the host's users or names shows.
 */
import type { Disk } from './disk.ts';

/** `ns-lite`: without bubblewrap, so without seccomp and user namespace; for development only. */
export type Level = 'ns' | 'ns-lite';

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
  /** An empty host directory, for `ns-lite` to build its root on. */
  rootDirectory: string;
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
