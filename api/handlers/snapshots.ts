/**
 * Snapshots over the API: receipted first, taken by the machine that the outbox tells, waited for here.
 * Promise: nothing is decided here; whoever stops waiting finds the snapshot under its id all the same.
 */
import { type Engine, listStreams } from '@tallystick/engine';
import { type SnapshotState, snapshotStream } from '@tallystick/hosting';
import { SnapshotService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import { freshId } from '../ids.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { ownSnapshot, type SnapshotHead } from '../own-snapshot.ts';
import { nextToken, pageOf } from '../page.ts';
import { snapshotMessage } from '../views/snapshot.ts';
import { numberOrNull } from './jobs.ts';
import { nextCommit, readySandbox } from './ready-sandbox.ts';

const SNAPSHOTS_PER_PAGE = 50;
const WAIT_MS_DEFAULT = 60_000;

export const snapshotHandlers = (engine: Engine) =>
  implement(SnapshotService, {
    async createSnapshot({ id, label, ttlMs, waitMs }, call) {
      await readySandbox(engine, call, id);
      const body = { sandbox: id, label, ttl_ms: numberOrNull(ttlMs) };
      const target = { stream: snapshotStream(freshId('snp')), type: 'TakeSnapshot', body };
      const { answer, receiptId } = await executeFor(engine, call, commandFrom(call, target));
      const asked = { state: answer['snapshot'] as unknown as SnapshotState, receiptId };
      const { state, receiptId: latest } = await untilMade(engine, call, asked, Number(waitMs ?? WAIT_MS_DEFAULT));
      if (state.status === 'failed') throw refuse('SNAPSHOT_REFUSED', { id: state.id, cause: state.reason });
      return snapshotMessage(state, latest);
    },
    async listSnapshots(request, call) {
      const page = pageOf(request, SNAPSHOTS_PER_PAGE);
      const filter = { is_kept: true, ...(request.sandboxId === '' ? {} : { sandbox: request.sandboxId }) };
      const rows = await listStreams(engine, { kind: 'snapshot', owner: call.principal!.id, ...page, filter });
      return {
        snapshots: rows.map(({ state, receiptId }) => snapshotMessage(state as unknown as SnapshotState, receiptId)),
        nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos),
      };
    },
    async getSnapshot({ id }, call) {
      const { state, receiptId } = await ownSnapshot(engine, call, id);
      return snapshotMessage(state, receiptId);
    },
    async deleteSnapshot({ id }, call) {
      await ownSnapshot(engine, call, id);
      const target = { stream: snapshotStream(id), type: 'DeleteSnapshot', body: {} };
      const { answer, receiptId } = await executeFor(engine, call, commandFrom(call, target));
      return snapshotMessage(answer['snapshot'] as unknown as SnapshotState, receiptId);
    },
  });

/** As it is when it is whole or has failed, or when nobody wants to wait any longer. */
async function untilMade(engine: Engine, call: Call, asked: SnapshotHead, waitMs: number): Promise<SnapshotHead> {
  const giveUpAtMs = performance.now() + waitMs;
  let head = await ownSnapshot(engine, call, asked.state.id);
  while (head.state.status === 'making' && performance.now() < giveUpAtMs && !call.signal.aborted) {
    await nextCommit(engine);
    head = await ownSnapshot(engine, call, asked.state.id);
  }
  return head;
}
