/**
 * Which isolation level this warden works at: what was asked for, never something weaker.
 * Promise: the level has shown itself on this machine by a real sandbox before anything is sold at it.
 */
import { type Fault, refused } from './fault.ts';
import { type Ground, prepareGround } from './ground.ts';
import type { GuestRuntime } from './guest-build.ts';
import type { Level } from './image.ts';
import { probe, tryGuest, tryIsolation } from './probe.ts';
import { candidates, type Runsc, runscFile } from './runsc.ts';

/** `auto`: `ns`, or `ns-lite` where that is allowed and nothing better possible. `gvisor` is taken only when asked for. */
export type AskedLevel = Level | 'auto';

const ASKED: readonly AskedLevel[] = ['auto', 'gvisor', 'ns', 'ns-lite'];
const RUNSC_HINT = 'runsc is missing (level gvisor: a kernel of its own for each sandbox): apt-get install runsc';

/** @errors throws Fault `bad_option` naming what can be asked */
export function askedLevel(text: string | undefined): AskedLevel {
  const asked = ASKED.find((level) => level === (text || 'auto'));
  if (!asked) throw refused('bad_option', `--isolation: one of ${ASKED.join(', ')}, this is ${text}`);
  return asked;
}

/** What can be seen of it without starting anything. @errors throws Fault `cannot_isolate` naming what is missing and how to get it */
export function chooseLevel(asked: AskedLevel, allowsLite: boolean): Level {
  const { level: best, missing } = probe();
  const said = missing.map(({ what, lost, hint }) => `${what} is missing (${lost}): ${hint}`);
  if (asked === 'gvisor' && !runscFile()) said.push(RUNSC_HINT);
  const refuse = (): Fault => refused('cannot_isolate', said.join('; '), { asked, missing: said.join('; ') });
  if (best === undefined) throw refuse();
  if (asked === 'ns-lite' || (asked === 'auto' && best === 'ns-lite' && allowsLite)) {
    process.stderr.write(`WARNING: weak isolation, for development only. ${said.join('; ')}\n`);
    return 'ns-lite';
  }
  if (best === 'ns-lite' || (asked === 'gvisor' && !runscFile())) throw refuse();
  return asked === 'gvisor' ? 'gvisor' : 'ns';
}

/** Prepares the folders and starts a real sandbox at the level. @errors rejects with Fault `cannot_isolate` */
export async function groundAt(folder: string, level: Level, guest?: GuestRuntime): Promise<Ground> {
  const ground = await prepareGround(folder, level, undefined, guest);
  if (level !== 'gvisor') {
    await tryIsolation(ground);
    return ground;
  }
  return { ...ground, ...(await workingRunsc(ground)) };
}

/** The first platform on which a sandbox starts, freezes, thaws and its guest is heard. */
async function workingRunsc(ground: Ground): Promise<{ runsc: Runsc; terminals: boolean }> {
  const complaints: string[] = [];
  for (const runsc of candidates(runscFile() ?? 'runsc')) {
    try {
      await tryIsolation({ ...ground, runsc });
      return { runsc, ...(await tryGuest({ ...ground, runsc })) };
    } catch (fault) {
      complaints.push(`${runsc.platform}: ${(fault as Error).message}`);
    }
  }
  const why = complaints.join('; ') || 'runsc names no platform that could be tried';
  throw refused('cannot_isolate', `level gvisor does not work here: ${why}`, { asked: 'gvisor', missing: why });
}
