/**
 * `npm run bench -- lease`: how late a machine is frozen whose paid time ends, on a host with far too little CPU.
 * Promise: lateness is the later of the warden's own moment and the last the tenant saw; running past the paid end fails.
 */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProviderEvent, ProviderFault } from '@tallystick/engine/adapters/provider';
import {
  follow,
  type Gap,
  gapsOf,
  type Machine,
  openMachine,
  renew,
  startMachine,
  startSpinners,
} from './load/leased-machines.ts';
import { numberOption, quantile } from './load/measure.ts';
import type { BenchOptions, BenchResult } from './run.ts';

const MACHINES = 10;
const SPINNERS = 4;
const SECONDS = 25;
/** The warden freezes this much before the paid end. */
const MARGIN_MS = 250;
const FIRST_PAID_MS = 12_000;
/** A lease is this long, at random, so that ends fall together and apart. */
const PAID_MS_MIN = 600;
const PAID_MS_MAX = 1_400;
/** How long it stands frozen before it is paid again: longer than the clock inside takes for a gap. */
const FROZEN_MS = 250;
const US_PER_MS = 1_000;

/** One end of paid time. */
interface Freeze {
  sandbox: string;
  paidUntilUs: number;
  /** When the warden had frozen it. */
  wardenUs: number;
  /** The last moment that the tenant saw; undefined when it was starved anyway. */
  tenantUs: number | undefined;
}

const lateMs = ({ paidUntilUs, wardenUs, tenantUs }: Freeze): number =>
  (Math.max(wardenUs, tenantUs ?? 0) - paidUntilUs) / US_PER_MS + MARGIN_MS;

const paidMs = (): number => PAID_MS_MIN + Math.random() * (PAID_MS_MAX - PAID_MS_MIN);

/** @errors rethrows every other fault */
function isTooLate(fault: unknown): boolean {
  if (fault instanceof ProviderFault && fault.code === 'ticket_already_over') return true;
  throw fault;
}

/** Pays again for whatever froze, until time is up. */
async function renewUntil(machine: Machine, endMs: number): Promise<void> {
  const seqs = new Map<string, number>();
  const underWay: Promise<void>[] = [];
  const again = async (sandbox: string): Promise<void> => {
    await sleep(FROZEN_MS);
    for (let isOver = true; isOver; ) {
      const seq = (seqs.get(sandbox) ?? 1) + 1;
      seqs.set(sandbox, seq);
      // On a host this busy a ticket may arrive when what it pays for is over.
      isOver = await renew(machine, sandbox, seq, paidMs()).then(() => false, isTooLate);
    }
  };
  while (performance.now() < endMs)
    for (const { event, sandbox } of await follow(machine)) if (event === 'frozen') underWay.push(again(sandbox));
  await Promise.all(underWay);
}

/** Each freeze with what the clock inside saw of it. */
function freezesOf(events: readonly ProviderEvent[], gaps: ReadonlyMap<string, Gap[]>): Freeze[] {
  return events
    .filter(({ event }) => event === 'frozen')
    .map(({ sandbox, at_us: wardenUs, paid_until_us }) => {
      const gap = gaps
        .get(sandbox)
        ?.find(({ lastUs, nextUs }) => nextUs > wardenUs && lastUs < wardenUs + FROZEN_MS * US_PER_MS);
      return { sandbox, wardenUs, paidUntilUs: Number(paid_until_us), tenantUs: gap?.lastUs };
    });
}

/** Options: `seconds`, `machines`, `spinners` (outside). Needs root and bubblewrap. */
export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const names = Array.from({ length: numberOption(options, 'machines', MACHINES) }, (_, index) => `m${index}`);
  const seconds = numberOption(options, 'seconds', SECONDS);
  await using machine = await startMachine();
  await Promise.all(names.map((name) => openMachine(machine, name, FIRST_PAID_MS)));
  using _spinners = startSpinners(numberOption(options, 'spinners', SPINNERS));
  await renewUntil(machine, performance.now() + seconds * 1000);
  const load = loadavg()[0]!;
  await follow(machine);
  const gaps = new Map<string, Gap[]>();
  for (const name of names) gaps.set(name, await gapsOf(machine, name));
  return resultOf(freezesOf(machine.events, gaps), load);
}

/** @errors throws when a tenant ran past what was paid. */
function resultOf(freezes: Freeze[], load: number): BenchResult {
  const unpaid = freezes.find((freeze) => lateMs(freeze) > MARGIN_MS);
  if (unpaid) throw new Error(`${unpaid.sandbox} ran past its paid end: ${JSON.stringify(unpaid)}`);
  const sorted = freezes.map(lateMs).sort((a, b) => a - b);
  const seen = freezes.filter(({ tenantUs }) => tenantUs !== undefined);
  const early = seen.map((freeze) => (freeze.paidUntilUs - freeze.tenantUs!) / US_PER_MS).sort((a, b) => a - b);
  const figures = {
    late_p50_ms: quantile(sorted, 0.5),
    late_p99_ms: quantile(sorted, 0.99),
    late_max_ms: sorted.at(-1)!,
    unused_min_ms: early[0]!,
    freezes: sorted.length,
    seen_inside: seen.length,
    load,
  };
  return { name: 'lease', figures, table: [{ what: 'after the deadline that the warden set itself', ...figures }] };
}
