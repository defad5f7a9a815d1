/**
 * What a sandbox starts from besides its image: a snapshot of its owner's; and what becomes of its disk at the end.
 * Promise: nobody starts from what is not theirs, not whole, or larger than the disk; the receipt names the digest.
 */
import { type Command, type JsonObject, optionalIn, type Rejection, type Seen, textIn } from '@tallystick/kernel';
import { NOT_FOUND } from './access.ts';
import { diskInMemory, snapshotStream } from './snapshot.ts';
import type { SnapshotState } from './snapshot-state.ts';

/** The streams that opening looks at for it. */
export function startingReads({ body }: Command): string[] {
  const id = optionalIn(body, 'snapshot', textIn);
  return id === null ? [] : [snapshotStream(id)];
}

/** Undefined when the sandbox may start from what it asks for, with a disk of that size. */
export function notStartable({ body, principal }: Command, diskMib: number, seen: Seen): Rejection | undefined {
  const keeps = optionalIn(body, 'on_end', textIn) === 'snapshot';
  const refused = keeps ? diskInMemory(diskMib) : undefined;
  const id = optionalIn(body, 'snapshot', textIn);
  if (refused || id === null) return refused;
  const { owner, status, reason, provider, disk_mib } = seen.state(snapshotStream(id)) as SnapshotState;
  if (owner === '' || owner !== principal || status === 'deleted' || status === 'failed') return NOT_FOUND;
  if (status === 'damaged') return { rejection: 'SNAPSHOT_DAMAGED', facts: { id, cause: reason } };
  if (status !== 'ready') return { rejection: 'SNAPSHOT_NOT_READY', facts: { id, status } };
  if (provider !== textIn(body, 'provider'))
    return { rejection: 'SNAPSHOT_NOT_READY', facts: { id, status: provider } };
  if (diskMib >= disk_mib) return undefined;
  return { rejection: 'DISK_OUT_OF_RANGE', facts: { cap: 'disk_mib_min', asked: diskMib, available: disk_mib } };
}

/** Members of the event, only those that say something. */
export function startMembers({ body }: Command, seen: Seen): JsonObject {
  const id = optionalIn(body, 'snapshot', textIn);
  const from = id === null ? undefined : (seen.state(snapshotStream(id)) as SnapshotState);
  return {
    ...(from ? { from_snapshot: from.id, from_sha256: from.sha256 } : {}),
    ...(optionalIn(body, 'on_end', textIn) === 'snapshot' ? { on_end: 'snapshot' } : {}),
  };
}
