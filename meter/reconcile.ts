/**
 * Compares what was sold with what runs: machines that are gone, machines that nobody pays for, reports that never came.
 * Promise: nothing is lost or ended on one list alone, each is asked for again first; a loss is reported once it is certain.
 */
import { type Engine, PAGE_MAX, readStream, streamsOfStatus } from '@tallystick/engine';
import { type Provider, ProviderFault, type SandboxView } from '@tallystick/engine/adapters/provider';
import { lostAfterMs, type SandboxState } from '@tallystick/hosting';
import type { Logger } from 'pino';
import { pause, reportExecOver, reportMissedEnd } from './reports.ts';
import { newSightings, type Sightings } from './sightings.ts';
import { type Contact, lastTicketEndsMs, silenceAfter } from './silence.ts';

const EVERY_MS = 2_000;
/** With very many sandboxes a pass takes long: it then rests longer, so that looking on is a small part of the work. */
const RESTS_PER_PASS = 3;
const REST_MS_MAX = 15_000;
/** The machine's own report of an end is waited for this long. */
const END_HEARD_MS = 10_000;
/** A command that was receipted may still be on its way to the machine for this long. */
const EXEC_ON_ITS_WAY_MS = 60_000;
const LIVE_STATUSES = ['running', 'frozen', 'stopping'];
const US_PER_MS = 1_000n;

export interface Reconciling {
  engine: Engine;
  provider: Provider;
  providerName: string;
  contact: Contact;
  log: Logger;
}

/** Runs until the signal aborts. */
export async function reconcileForEver(reconciling: Reconciling, signal: AbortSignal): Promise<void> {
  const sightings = newSightings();
  let silentMs = 0;
  while (!signal.aborted) {
    const startedAtMs = performance.now();
    let restMs = EVERY_MS;
    try {
      const views = await reconciling.provider.list();
      silentMs = 0;
      await reconcileOnce(reconciling, views, sightings);
      restMs = Math.max(EVERY_MS, Math.min(REST_MS_MAX, RESTS_PER_PASS * (performance.now() - startedAtMs)));
    } catch (fault) {
      reconciling.log.warn({ fault: (fault as Error).message }, 'could not compare with the machine');
      const attempt = { startedAtMs, endedAtMs: performance.now(), pausedMs: EVERY_MS };
      if (fault instanceof ProviderFault) silentMs = silenceAfter(silentMs, attempt, reconciling.contact);
      await loseSilent(reconciling, silentMs).catch(() => undefined);
    }
    await pause(restMs, signal);
  }
}

export async function reconcileOnce(
  reconciling: Reconciling,
  views: SandboxView[],
  sightings: Sightings,
): Promise<void> {
  const onMachine = new Map(views.map((view) => [view.sandbox, view]));
  const sold = await liveSandboxes(reconciling);
  const known = new Set(sold.map(({ id }) => id));
  for (const sandbox of sold)
    await apart(reconciling, sandbox.id, () => compare(reconciling, sandbox, onMachine.get(sandbox.id), sightings));
  for (const view of views)
    if (view.state !== 'ended' && !known.has(view.sandbox))
      await apart(reconciling, view.sandbox, () => endIfOrphan(reconciling, view));
  sightings.forgetUnseen();
}

/** What fails for one sandbox is tried again in the next pass and stops no other. */
async function apart({ log }: Reconciling, sandbox: string, work: () => Promise<void>): Promise<void> {
  await work().catch((fault: Error) => log.warn({ sandbox, fault: fault.message }, 'could not be compared'));
}

async function compare(
  reconciling: Reconciling,
  sandbox: SandboxState,
  view: SandboxView | undefined,
  sightings: Sightings,
): Promise<void> {
  if (!view) return loseIfGone(reconciling, sandbox);
  if (view.state === 'ended') return hearEnd(reconciling, view, sightings);
  return hearExecs(reconciling, sandbox, view, sightings);
}

async function liveSandboxes({ engine, providerName }: Reconciling): Promise<SandboxState[]> {
  const found: SandboxState[] = [];
  for (const status of LIVE_STATUSES) {
    for (let after: number | undefined; ; ) {
      const page = { limit: PAGE_MAX, ...(after === undefined ? {} : { after }) };
      const rows = await streamsOfStatus(engine, { kind: 'sandbox', status, ...page });
      found.push(...rows.map(({ state }) => state as unknown as SandboxState));
      after = rows.at(-1)?.createdPos;
      if (rows.length < PAGE_MAX || after === undefined) break;
    }
  }
  return found.filter(({ provider }) => provider === providerName);
}

/** The list is older than what the database says by now: a machine that began between the two is not lost. */
async function loseIfGone(reconciling: Reconciling, sandbox: SandboxState): Promise<void> {
  try {
    await reconciling.provider.get(sandbox.id);
  } catch (fault) {
    if (!(fault instanceof ProviderFault) || fault.kind !== 'gone') throw fault;
    await lose(reconciling, sandbox, Date.now());
  }
}

/** A silent machine runs on for what it was sold before; what was sold to it since has not reached it. */
async function loseSilent(reconciling: Reconciling, silentMs: number): Promise<void> {
  const nowMs = Date.now();
  for (const sandbox of await liveSandboxes(reconciling)) {
    const mayRunUntilMs = lastTicketEndsMs(sandbox, Math.floor(nowMs - silentMs));
    const isLong = silentMs > lostAfterMs(sandbox.quantum_ms);
    if (isLong && mayRunUntilMs <= nowMs) await lose(reconciling, sandbox, mayRunUntilMs);
  }
}

/** `seenAtMs`: the last moment at which it can have run; the key makes every repetition the same report. */
async function lose({ engine, log }: Reconciling, sandbox: SandboxState, seenAtMs: number): Promise<void> {
  const { id, incarnation } = sandbox;
  const outcome = await engine.execute({
    principal: 'platform',
    key: `lost:${id}:${incarnation}`,
    fingerprint: '0'.repeat(64), // whoever notices first decides the moment
    stream: `sandbox:${id}`,
    type: 'ReportLost',
    body: { incarnation, seen_at_us: String(BigInt(seenAtMs) * US_PER_MS) },
  });
  if (!outcome.replayed) log.warn({ sandbox: id, rejection: outcome.rejection ?? null }, 'a sandbox is lost');
}

/** Its event may have been dropped before anybody read it. */
async function hearEnd(reconciling: Reconciling, view: SandboxView, sightings: Sightings): Promise<void> {
  if (sightings.isLasting(`end ${view.sandbox}`, END_HEARD_MS)) await reportMissedEnd(reconciling, view);
}

/** A command that is receipted as running and does not run would keep its sandbox from ever being idle. */
async function hearExecs(
  reconciling: Reconciling,
  sandbox: SandboxState,
  view: SandboxView,
  sightings: Sightings,
): Promise<void> {
  if (sandbox.execs.length <= view.execs_running) return;
  const onMachine = new Map((await reconciling.provider.listExecs(sandbox.id)).map((exec) => [exec.exec_id, exec]));
  for (const execId of sandbox.execs) {
    const exec = onMachine.get(execId);
    if (exec?.state === 'running') continue;
    if (sightings.isLasting(`exec ${sandbox.id} ${execId}`, EXEC_ON_ITS_WAY_MS))
      await reportExecOver(reconciling, view, execId, exec);
  }
}

/** Nobody pays for it: it has ended here, or it was never sold. A sale is always older than its machine. */
async function endIfOrphan({ engine, provider, log }: Reconciling, view: SandboxView): Promise<void> {
  const { sandbox, incarnation } = view;
  const state = (await readStream(engine, `sandbox:${sandbox}`))?.state as unknown as SandboxState | undefined;
  if (state && state.status !== '' && state.status !== 'ended') return;
  log.warn({ sandbox }, 'a sandbox runs that nobody pays for');
  await provider.finish(sandbox, { incarnation, reason: 'policy', at_us: null });
}
