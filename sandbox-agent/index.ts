/**
 * What others may use of the agent: where its program lies, and the pieces a benchmark compares.
 * Promise: nothing here starts anything by being imported.
 */
import { join } from 'node:path';

export { Cgroup, detectLayout, killAndRemove, type Layout, type Limits, prepareSlice } from './warden/cgroup.ts';
export { planDisk } from './warden/disk.ts';
export { type Ground, prepareGround, removeGround } from './warden/ground.ts';
export { launch } from './warden/isolate.ts';
export { type Missing, type Probe, probe } from './warden/probe.ts';
export { isolationOf } from './warden/sandbox.ts';
export { REFUSED_CALLS, seccompFilter } from './warden/seccomp.ts';

/** The warden's program: `node WARDEN_PROGRAM --folder DIR --socket PATH --lease-key BASE64 --caller-key BASE64`. */
export const WARDEN_PROGRAM = join(import.meta.dirname, 'warden', 'main.ts');
