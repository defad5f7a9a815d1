/**
 * Snapshots between the platform and its machines: orders carried out, what was kept reported, leftovers removed.
 * Promise: what a machine keeps and what receipts say become the same, whatever was lost on the way.
 */
import {
  type Delivery,
  Fault,
  type Handler,
  PAGE_MAX,
  readStream,
  type StreamRow,
  streamsOfStatus,
} from '@tallystick/engine';
import { ProviderFault, type SnapshotView } from '@tallystick/engine/adapters/provider';
import { type SandboxState, type SnapshotState, snapshotStream } from '@tallystick/hosting';
import type { JsonObject } from '@tallystick/kernel';
import { pause, type Reporting } from './reports.ts';
import { newSightings, type Sightings } from './sightings.ts';

const EVERY_MS = 2_000;
/** The whole list of kept ones is compared with the machine's now and then. */
const COMPARE_EVERY_MS = 60_000;
/** One that a machine does not list for so long is lost. */
const LOST_AFTER_MS = 180_000;
/** One that no receipt knows may be of a platform that was set back: it is not removed at once. */
const NOBODYS_MS = 3_600_000;
/** Longer than a machine may take over one. */
export const TAKE_LEASE_MS = 180_000;
/** Says the machine for a while only. */
const PASSING = new Set(['too_many_snapshots', 'snapshot_running', 'starting', 'bad_caller_ticket', 'forbidden']);

export const snapshotHandlers = (reporting: Reporting): Record<string, Handler> => ({
  'take-snapshot': (delivery) => take(reporting, delivery),
  'delete-snapshot': ({ body }) => remove(reporting, String(body['snapshot'])),
});

async function take(reporting: Reporting, { body }: Delivery): Promise<void> {
  const id = String(body['snapshot']);
  if ((await stateOf(reporting, id))?.status !== 'making') return;
  const order = { snapshot: id, incarnation: Number(body['incarnation']) };
  try {
    const view = await reporting.provider.takeSnapshot(String(body['of_sandbox']), order);
    await reportView(reporting, view, String(body['owner']));
  } catch (fault) {
    if (!isFinal(fault)) throw fault;
    await report(reporting, id, 'ReportSnapshotFailed', { cause: fault.code });
  }
}

const isFinal = (fault: unknown): fault is ProviderFault =>
  fault instanceof ProviderFault && fault.kind !== 'unreachable' && !PASSING.has(fault.code);

async function remove({ provider, log }: Reporting, id: string): Promise<void> {
  await provider.deleteSnapshot(id).catch((fault: unknown) => {
    if (!isFinal(fault)) throw fault;
    log.warn({ snapshot: id, code: fault.code }, 'the machine refused to remove a snapshot');
  });
}

/** A start from it found other bytes than were kept. */
export const reportDamaged = (reporting: Reporting, id: string, cause: string): Promise<void> =>
  report(reporting, id, 'ReportSnapshotDamaged', { cause });

async function reportView(reporting: Reporting, view: SnapshotView, owner: string): Promise<void> {
  const { snapshot, sandbox, incarnation, image_digest, disk_mib, bytes, sha256, taken_at_us } = view;
  const told = { sandbox, incarnation, image_digest, disk_mib, bytes, sha256 };
  const at = { machine_taken_at_us: String(Math.trunc(taken_at_us)) };
  await report(reporting, snapshot, 'ReportSnapshot', { ...told, ...at, owner });
}

/** @errors throws Fault when the platform takes no command now */
async function report(
  { engine, providerName, log }: Reporting,
  id: string,
  type: string,
  body: JsonObject,
): Promise<void> {
  const outcome = await engine.execute({
    principal: `provider:${providerName}`,
    key: `${type}:${id}`,
    fingerprint: '0'.repeat(64), // whoever hears it first reports it
    stream: snapshotStream(id),
    type,
    body,
  });
  if (outcome.rejection === 'LIMITED') throw new Fault(`the queue is full: ${type} of ${id} waits`);
  if (outcome.rejection !== undefined && !outcome.replayed)
    log.info({ snapshot: id, type, rejection: outcome.rejection }, 'a report was refused');
}

async function stateOf({ engine }: Reporting, id: string): Promise<SnapshotState | undefined> {
  return (await readStream(engine, snapshotStream(id)))?.state as unknown as SnapshotState | undefined;
}

/** Runs until the signal aborts. */
export async function reconcileSnapshots(reporting: Reporting, signal: AbortSignal): Promise<void> {
  const sightings = newSightings();
  const known = new Set<string>();
  let comparedAtMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    try {
      const views = await reporting.provider.listSnapshots();
      for (const view of views)
        if (!known.has(view.snapshot) && (await isSettled(reporting, view, sightings))) known.add(view.snapshot);
      if (performance.now() - comparedAtMs >= COMPARE_EVERY_MS) {
        comparedAtMs = performance.now();
        known.clear(); // what was deleted meanwhile is looked at again
        await loseMissing(reporting, new Set(views.map(({ snapshot }) => snapshot)), sightings);
      }
    } catch (fault) {
      reporting.log.warn({ fault: (fault as Error).message }, 'could not compare snapshots with the machine');
    }
    await pause(EVERY_MS, signal);
  }
}

/** One on the machine: reported if it was kept at an end, removed if it is not kept any more. True: nothing is left to do. */
async function isSettled(reporting: Reporting, view: SnapshotView, sightings: Sightings): Promise<boolean> {
  const state = await stateOf(reporting, view.snapshot);
  if (state?.is_kept) return state.status !== 'making';
  if (state && state.status !== '') {
    await remove(reporting, view.snapshot);
    return false;
  }
  const sandbox = (await readStream(reporting.engine, `sandbox:${view.sandbox}`))?.state as unknown as
    | SandboxState
    | undefined;
  if (sandbox?.on_end !== 'snapshot' || view.cause !== 'on_end') {
    if (sightings.isLasting(view.snapshot, NOBODYS_MS)) await remove(reporting, view.snapshot);
    return false;
  }
  if (sandbox.status === 'ended') await reportView(reporting, view, sandbox.owner);
  return false;
}

/** Those that receipts say are kept here and that the machine does not have. */
async function loseMissing(reporting: Reporting, listed: ReadonlySet<string>, sightings: Sightings): Promise<void> {
  for (const status of ['ready', 'damaged']) {
    for await (const { state } of kept(reporting, status)) {
      const { id, provider } = state as unknown as SnapshotState;
      if (provider !== reporting.providerName || listed.has(id) || !sightings.isLasting(id, LOST_AFTER_MS)) continue;
      await report(reporting, id, 'ReportSnapshotLost', {});
    }
  }
  sightings.forgetUnseen();
}

async function* kept({ engine }: Reporting, status: string): AsyncGenerator<StreamRow> {
  for (let after: number | undefined; ; ) {
    const page = { limit: PAGE_MAX, ...(after === undefined ? {} : { after }) };
    const rows = await streamsOfStatus(engine, { kind: 'snapshot', status, ...page });
    yield* rows;
    after = rows.at(-1)?.createdPos;
    if (rows.length < PAGE_MAX || after === undefined) return;
  }
}
