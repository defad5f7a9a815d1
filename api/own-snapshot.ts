/**
 * A caller's own snapshot, as the database has it.
 * Promise: what belongs to another principal cannot be told from what does not exist.
 */
import { type Engine, readStream } from '@tallystick/engine';
import { type SnapshotState, snapshotStream } from '@tallystick/hosting';
import { type Call, refuse } from '@tallystick/surface';

export interface SnapshotHead {
  state: SnapshotState;
  receiptId: string;
}

/** @errors throws NOT_FOUND also when it is somebody else's. */
export async function ownSnapshot(engine: Engine, call: Call, id: string): Promise<SnapshotHead> {
  const head = await readStream(engine, snapshotStream(id));
  if (!head || head.owner !== call.principal!.id) throw refuse('NOT_FOUND', {}, `there is no snapshot ${id} for you`);
  return { state: head.state as unknown as SnapshotState, receiptId: head.receiptId };
}
