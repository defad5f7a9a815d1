/**
 * Compares what was sold with what runs: sandboxes that their machine no longer has, machines that nobody pays for.
 * Promise: a loss is reported once it is certain, so that it is refunded; an orphan is ended.
 */
import { type Engine, listStreams, PAGE_MAX } from '@tallystick/engine';
import { type Provider, ProviderFault, type SandboxView } from '@tallystick/engine/adapters/provider';
import type { SandboxState } from '@tallystick/hosting';
import type { Logger } from 'pino';
import { pause } from './reports.ts';

const EVERY_MS = 2_000;
/** A sandbox that was just sold may not be on its machine yet. */
const YOUNG_MS = 60_000;
const LIVE_STATUSES = ['running', 'frozen', 'stopping'];
const US_PER_MS = 1_000n;

export interface Reconciling {
  engine: Engine;
  provider: Provider;
  providerName: string;
  /** A machine that was not heard for this long counts as lost. */
  lostAfterMs: number;
  log: Logger;
}

/** Runs until the signal aborts. */
export async function reconcileForEver(reconciling: Reconciling, signal: AbortSignal): Promise<void> {
  let heardAtMs = Date.now();
  while (!signal.aborted) {
    try {
      const views = await reconciling.provider.list();
      heardAtMs = Date.now();
      await reconcileOnce(reconciling, views);
    } catch (fault) {
      reconciling.log.warn({ fault: (fault as Error).message }, 'could not compare with the machine');
      const silentMs = Date.now() - heardAtMs;
      if (fault instanceof ProviderFault && silentMs > reconciling.lostAfterMs)
        await loseAll(reconciling, heardAtMs).catch(() => undefined);
    }
    await pause(EVERY_MS, signal);
  }
}

async function reconcileOnce(reconciling: Reconciling, views: SandboxView[]): Promise<void> {
  const onMachine = new Map(views.map((view) => [view.sandbox, view]));
  const sold = await liveSandboxes(reconciling);
  const nowMs = Date.now();
  for (const sandbox of sold) {
    if (!onMachine.has(sandbox.id)) await lose(reconciling, sandbox, nowMs);
  }
  const known = new Set(sold.map(({ id }) => id));
  for (const view of views) if (!known.has(view.sandbox)) await endOrphan(reconciling, view, nowMs);
}

async function liveSandboxes({ engine, providerName }: Reconciling): Promise<SandboxState[]> {
  const found: SandboxState[] = [];
  for (const status of LIVE_STATUSES) {
    for (let after: number | undefined; ; ) {
      const filter = { status, provider: providerName };
      const rows = await listStreams(engine, {
        kind: 'sandbox',
        limit: PAGE_MAX,
        filter,
        ...(after === undefined ? {} : { after }),
      });
      found.push(...rows.map(({ state }) => state as unknown as SandboxState));
      after = rows.at(-1)?.createdPos;
      if (rows.length < PAGE_MAX || after === undefined) break;
    }
  }
  return found;
}

async function loseAll(reconciling: Reconciling, seenAtMs: number): Promise<void> {
  for (const sandbox of await liveSandboxes(reconciling)) await lose(reconciling, sandbox, seenAtMs);
}

/** The last moment it can have run is when its machine was last heard; the key makes every repetition the same report. */
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

/** Nobody pays for it: either it has ended here, or it was never sold. */
async function endOrphan({ provider, log }: Reconciling, view: SandboxView, nowMs: number): Promise<void> {
  const ageMs = nowMs - Number(BigInt(Math.trunc(view.started_at_us)) / US_PER_MS);
  if (view.state === 'ended' || ageMs < YOUNG_MS) return;
  log.warn({ sandbox: view.sandbox }, 'a sandbox runs that nobody pays for');
  await provider.finish(view.sandbox, { incarnation: view.incarnation, reason: 'policy', at_us: null });
}
