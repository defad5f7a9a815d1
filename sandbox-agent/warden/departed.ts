/**
 * Sandboxes that ended because the warden was told to stop, when nobody could hear it any more.
 * Promise: the next boot tells each end once, with the moment and the running time of then; what cannot be read was never said.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EventLog } from './events.ts';
import type { viewOf } from './held.ts';

export type View = ReturnType<typeof viewOf>;

const fileIn = (folder: string): string => join(folder, 'departed.json');

/** A full disk loses their word, not the stop. */
export function writeDeparted(folder: string, views: View[]): void {
  if (views.length === 0) return;
  const [file, draft] = [fileIn(folder), `${fileIn(folder)}.new`];
  try {
    writeFileSync(draft, JSON.stringify(views), { mode: 0o600 });
    renameSync(draft, file);
  } catch {
    rmSync(draft, { force: true });
  }
}

/** Of the last boot, told as events of this one. They are forgotten on disk: whoever listens hears them from now on. */
export function tellDeparted(folder: string, events: EventLog): View[] {
  const views = readDeparted(fileIn(folder));
  for (const { sandbox, incarnation, ended, lease, running_ms: ran_ms, cpu_us } of views) {
    const paid = { seq_of_lease: lease.seq, paid_until_us: lease.paid_until_us };
    events.append('ended', sandbox, incarnation, { ...ended, ...paid, ran_ms, cpu_us });
  }
  rmSync(fileIn(folder), { force: true });
  return views;
}

function readDeparted(file: string): View[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as View[];
  } catch {
    return [];
  }
}
