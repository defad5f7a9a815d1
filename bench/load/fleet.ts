/**
 * Many running sandboxes on one server, opened through the real rules; all of them are paid until the same moment.
 * Promise: time is what this file says it is: it stands still while sandboxes open and jumps to the next sale.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine, type Engine, waitingWork } from '@tallystick/engine';
import { type Database, migrate, openDatabase } from '@tallystick/engine/database';
import { asOwner } from '@tallystick/engine/testing';
import type { Command, JsonObject } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { type CountingMeter, LOG_KEY, PROVIDER, startCounting } from './counting-meter.ts';

const START_US = 1_767_225_600_000_000n;
const QUANTUM_US = 60_000_000n;
/** Inside the window in which the next step is sold, for sandboxes that started at the beginning of a quantum. */
const SALE_AFTER_US = 41_000_000n;
export const SANDBOXES_PER_JOB = 20;
const JOBS_PER_PAYER = 5;
const SANDBOXES_PER_PAYER = SANDBOXES_PER_JOB * JOBS_PER_PAYER;
const CALLERS = 1_024;
const PLENTY_MICROS = '1000000000';
const POLL_MS = 20;
const US_PER_MS = 1_000n;
const DAY_CHARS = 'yyyy-mm-dd'.length;

const SANDBOX_BODY: JsonObject = {
  provider: PROVIDER,
  isolation: 'mock',
  label: '',
  image: '',
  image_digest: '5'.repeat(64),
  security_mode: 'standard',
  cpu_millis: 1_000,
  ram_mib: 512,
  disk_mib: 512,
  max_spend_micros: null,
  ttl_ms: null,
  idle_timeout_ms: null,
  quantum_ms: null,
  default_quantum_ms: 60_000,
  grace_ms: 120_000,
  incarnation: 1,
};

export interface Fleet extends AsyncDisposable {
  database: Database;
  folder: string;
  engine: Engine;
  meter: CountingMeter;
  /** Sandboxes that run. */
  size: number;
  /** Quanta that are over. */
  quanta: number;
  nowUs: bigint;
}

/** A server of its own that flushes every commit, as large as who sells to so many would set it; and one meter, in this process. */
export async function startFleet(): Promise<Fleet> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-fleet-'));
  const settings = { shared_buffers: '2GB', max_wal_size: '8GB', checkpoint_timeout: '30min' };
  const database = await openDatabase({ folder, settings });
  await migrate(database);
  const clock = { nowUs: START_US };
  const engine = createEngine({ database, role: 'meter', rules: RULES, logKey: LOG_KEY, nowUs: () => clock.nowUs++ });
  const meter = startCounting(engine);
  await ask(engine, 'platform', 'ledger:platform', 'OpenLedger', { providers: [PROVIDER] });
  return {
    ...{ database, folder, engine, meter, size: 0, quanta: 0 },
    get nowUs() {
      return clock.nowUs;
    },
    set nowUs(us: bigint) {
      clock.nowUs = us;
    },
    async [Symbol.asyncDispose]() {
      await meter[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      await database.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** @errors throws when the rule says no. */
async function ask(engine: Engine, principal: string, stream: string, type: string, body: JsonObject): Promise<void> {
  const command: Command = { principal, key: `${type}:${stream}`, stream, type, body };
  const { rejection, facts } = await engine.execute(command);
  if (rejection) throw new Error(`${type} on ${stream}: ${rejection} ${JSON.stringify(facts)}`);
}

/** Opens more until so many run, at the beginning of the current quantum, and waits until all have started. */
export async function growTo(fleet: Fleet, size: number): Promise<void> {
  fleet.nowUs = START_US + BigInt(fleet.quanta) * QUANTUM_US;
  const from = fleet.size;
  await inParallel(from / SANDBOXES_PER_PAYER, size / SANDBOXES_PER_PAYER, (payer) => openPayer(fleet.engine, payer));
  await inParallel(from, size, (index) => openSandbox(fleet.engine, index));
  await waitFor(() => fleet.meter.counts.created === size, fleet);
  await fleet.engine.settled();
  fleet.size = size;
  // What the server's own housekeeping does within a minute; nobody opens so many at once.
  await asOwner(fleet.database, (client) => client.query('vacuum (analyze)'));
}

async function inParallel(from: number, to: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < to) await work(next++);
  };
  await Promise.all(Array.from({ length: CALLERS }, worker));
}

const payerName = (payer: number): string => `eip155:1:0x${payer.toString(16).padStart(40, '0')}`;

async function openPayer(engine: Engine, payer: number): Promise<void> {
  const owner = payerName(payer);
  await ask(engine, 'platform', `account:${owner}`, 'OpenAccount', {});
  await ask(engine, 'platform', `account:${owner}`, 'CreditDeposit', {
    deposit_id: `dep_${payer}`,
    amount_micros: PLENTY_MICROS,
    source: 'development',
    reference: '',
  });
  for (let job = payer * JOBS_PER_PAYER; job < (payer + 1) * JOBS_PER_PAYER; job++)
    await ask(engine, owner, `job:job_${job}`, 'OpenJob', {
      label: '',
      max_total_spend_micros: PLENTY_MICROS,
      ttl_ms: null,
      idle_timeout_ms: null,
      sandboxes_max: null,
    });
}

function openSandbox(engine: Engine, index: number): Promise<void> {
  const payer = payerName(Math.floor(index / SANDBOXES_PER_PAYER));
  const day = new Date(Number(engine.nowUs() / US_PER_MS)).toISOString().slice(0, DAY_CHARS);
  const body = { ...SANDBOX_BODY, payer, day, job: `job_${Math.floor(index / SANDBOXES_PER_JOB)}` };
  return ask(engine, payer, `sandbox:sbx_${index}`, 'OpenSandbox', body);
}

/** Moves time to where every sandbox needs its next minute. */
export function reachSale(fleet: Fleet): void {
  fleet.nowUs = START_US + BigInt(fleet.quanta) * QUANTUM_US + SALE_AFTER_US;
  fleet.quanta++;
}

/** One minute for every sandbox, sold and delivered by this process. @errors throws when a loop reported a fault. */
export async function sellToAll(fleet: Fleet): Promise<void> {
  const { counts } = fleet.meter;
  const wanted = counts.renewed + fleet.size;
  reachSale(fleet);
  await waitFor(() => counts.renewed >= wanted, fleet);
  await untilDelivered(fleet);
}

/** Resolves when no message and no due timer waits. */
export async function untilDelivered({ engine }: Fleet): Promise<void> {
  for (;;) {
    const { outboxMessages, dueTimers } = await waitingWork(engine);
    if (outboxMessages === 0 && dueTimers === 0) return;
    await pause();
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, POLL_MS));

async function waitFor(isTrue: () => boolean, { meter }: Fleet): Promise<void> {
  while (!isTrue()) {
    if (meter.counts.faults.length > 0) throw new Error(meter.counts.faults[0]);
    await pause();
  }
}

/** @errors throws unless every sandbox has bought exactly as many minutes as quanta began, with a ticket for each. */
export async function checkSales({ database, size, quanta }: Fleet, boughtAtFirst: readonly number[]): Promise<void> {
  const { rows } = await asOwner(database, (client) =>
    client.query<{ sold: string; wrong: string; tickets: string; unbalanced: string }>(SALES),
  );
  const { sold, wrong, tickets, unbalanced } = rows[0]!;
  const wanted = boughtAtFirst.reduce((sum, startedAt) => sum + 1 + quanta - startedAt, 0);
  if (Number(sold) !== wanted || Number(tickets) !== wanted || Number(wrong) !== 0 || Number(unbalanced) !== 0)
    throw new Error(`${size} sandboxes: ${JSON.stringify({ wanted, sold, wrong, tickets, unbalanced })}`);
}

const SALES = `with box as (select state::jsonb as s from engine.stream_head where kind = 'sandbox' and created_pos is not null)
  select (select sum((s ->> 'minutes_sold')::bigint) from box) as sold,
    (select count(*) from box where (s ->> 'charged_micros')::bigint
      <> (s ->> 'minutes_sold')::bigint * (s ->> 'price_micros_per_quantum')::bigint or s ->> 'status' <> 'running') as wrong,
    (select count(*) from engine.ticket) as tickets,
    (select count(*) from (select asset from engine.account group by asset
      having sum(credits_posted::numeric - debits_posted) <> 0) t) as unbalanced`;
