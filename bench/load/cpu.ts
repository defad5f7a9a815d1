/**
 * CPU time of this process and of a database server with all its backends, from Linux's own books.
 * Promise: counts user and system time; backends that have ended are counted through their postmaster.
 */
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;
const US_PER_S = 1_000_000;

interface Stat {
  parent: number;
  ownTicks: number;
  childrenTicks: number;
}

/** Undefined when it has ended meanwhile. */
function statOf(pid: string): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [parent, user, system, childUser, childSystem] = [1, 11, 12, 13, 14].map((index) => fields[index]!);
    return { parent: parent!, ownTicks: user! + system!, childrenTicks: childUser! + childSystem! };
  } catch {
    return undefined;
  }
}

/** Seconds of the postmaster and everything it started. @errors throws when there is no such process. */
export function serverCpuSeconds(postmasterPid: number): number {
  const own = statOf(String(postmasterPid));
  if (!own) throw new Error(`no process ${postmasterPid}`);
  let ticks = own.ownTicks + own.childrenTicks;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const stat = statOf(pid);
    if (stat?.parent === postmasterPid) ticks += stat.ownTicks;
  }
  return ticks / TICKS_PER_SECOND;
}

/** Seconds of this process. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / US_PER_S;
}
