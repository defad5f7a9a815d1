/**
 * Probes of isolation levels: which one the platform of this clone works at, and whether gVisor could be one.
 * Promise: a level counts as possible when a command has run at it.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Io } from '../io.ts';
import { dataFolder } from '../session.ts';
import { bad, complaintOf, ELSEWHERE_ADVICE, good, type Outcome, open, type Probe, probe } from './probe.ts';

const INSTALL = 'For level gvisor: apt-get install runsc, then npm start -- --isolation gvisor';
const PLATFORMS = ['systrap', 'ptrace'];
const OLD =
  'Install a runsc of 2023 or later: in this one `ls FOLDER` fails and terminals know no control keys, so they are refused.';

export function isolationProbes(io: Io): Probe[] {
  return [
    probe('isolation level', 'Start it with `npm start` in the clone.', () => levelNow(io)),
    probe('gvisor', INSTALL, tryGvisor),
  ];
}

/** What the platform wrote when it started its machines. */
async function levelNow(io: Io): Promise<Outcome> {
  const folder = dataFolder(io);
  const file = join(folder, 'run', 'api.json');
  if (!existsSync(file)) return open(`no platform runs with its data in ${folder}`, ELSEWHERE_ADVICE);
  const { isolation } = JSON.parse(await readFile(file, 'utf8')) as { isolation?: string };
  return isolation ? good(`sandboxes run at level ${isolation}`) : open('the running platform does not say');
}

async function tryGvisor(): Promise<Outcome> {
  if (process.getuid?.() !== 0) return open('not tried: needs root', INSTALL);
  const state = await mkdtemp(join(tmpdir(), 'tally-doctor-'));
  const attempt = (platform: string, ...command: string[]): Promise<string | undefined> => {
    const flags = [`--root=${state}`, '--network=none', '--ignore-cgroups', `--platform=${platform}`];
    return complaintOf('runsc', [...flags, 'do', ...command]);
  };
  try {
    let complaint: string | undefined;
    for (const platform of PLATFORMS) {
      complaint = await attempt(platform, 'true');
      if (complaint === undefined) return howWell(platform, await attempt(platform, 'ls', '-l', '/'));
    }
    return complaint?.includes('not installed')
      ? open('runsc is not installed; sandboxes can run at level ns', INSTALL)
      : bad(`runsc cannot run a command here: ${complaint}`, 'Use level ns, or another machine.');
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

function howWell(platform: string, complaint: string | undefined): Outcome {
  if (complaint === undefined) return good(`runsc runs a command in a kernel of its own (${platform})`);
  return open(`runsc runs a command in a kernel of its own (${platform}), but it is an old one`, OLD);
}
