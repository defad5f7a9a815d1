/**
 * Commands per second and latency of the engine at three concurrencies, and whether they stay flat as the records grow.
 * Promise: both shards of the growth figure live on one server and are measured in alternating rounds.
 */
import { loadavg } from 'node:os';
import type { Engine } from '@tallystick/engine';
import type { Database } from '@tallystick/engine/database';
import { asOwner, newTestEngine } from '@tallystick/engine/testing';
import { measure, median, numberOption, type Sample } from './load/measure.ts';
import { fundedEngine, LEASES, sellers, sellMany, startServer } from './load/sales.ts';
import type { BenchOptions, BenchResult } from './run.ts';

const ROUNDS = 5;
const PHASE_MS = 2_000;
const CONCURRENCIES = [1, 32, 256];
const RECORDS_FEW = 1_000;
const RECORDS_MANY = 1_000_000;
/** Rows that one sale leaves, beside its updates: receipt, two postings, answer, outbox, checkpoint share. */
const FILL_CALLERS = 2_048;

type Samples = Map<string, Sample[]>;

export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const rounds = numberOption(options, 'rounds', ROUNDS);
  const phaseMs = numberOption(options, 'phase-ms', PHASE_MS);
  const records = numberOption(options, 'records', RECORDS_MANY);
  const database = await startServer();
  const engines = { few: await fundedEngine(database), many: await fundedEngine(database) };
  try {
    await sellMany(engines.few, RECORDS_FEW, LEASES);
    const fillPerSecond = await fill(engines.many, records);
    await asOwner(database, (client) => client.query('vacuum (analyze)'));
    await asOwner(database, (client) => client.query('checkpoint'));
    const samples: Samples = new Map();
    for (let round = 0; round < rounds; round++) await measureRound(database, engines, samples, phaseMs);
    return {
      name: 'engine',
      figures: { ...figuresOf(samples), fill_per_s: fillPerSecond, records, load: loadavg()[0]! },
      table: tableOf(samples),
    };
  } finally {
    for (const engine of Object.values(engines)) await engine[Symbol.asyncDispose]();
    await database.stop();
  }
}

async function fill(engine: Engine, records: number): Promise<number> {
  const startMs = performance.now();
  await sellMany(engine, records, FILL_CALLERS);
  return (records / (performance.now() - startMs)) * 1000;
}

/** Fresh engines, so that neither gains from what its cache remembers of the filling. */
async function measureRound(
  database: Database,
  filled: Record<'few' | 'many', Engine>,
  samples: Samples,
  phaseMs: number,
): Promise<void> {
  for (const callers of CONCURRENCIES) {
    for (const [name, { shard }] of Object.entries(filled)) {
      await using engine = await newTestEngine({ database, shard });
      await sellMany(engine, LEASES, LEASES);
      const key = `${name}, ${callers}`;
      samples.set(key, [...(samples.get(key) ?? []), await measure(sellers(engine, callers), phaseMs)]);
    }
  }
}

const medianOf = (samples: Samples, key: string, field: keyof Sample): number =>
  median(samples.get(key)!.map((sample) => sample[field]));

function figuresOf(samples: Samples): Record<string, number> {
  return {
    per_s_1: medianOf(samples, 'few, 1', 'perSecond'),
    per_s_32: medianOf(samples, 'few, 32', 'perSecond'),
    per_s_256: medianOf(samples, 'few, 256', 'perSecond'),
    p50_ms_1: medianOf(samples, 'few, 1', 'p50Ms'),
    latency_1m_over_1k: medianOf(samples, 'many, 1', 'p50Ms') / medianOf(samples, 'few, 1', 'p50Ms'),
    latency_1m_over_1k_at_256: medianOf(samples, 'many, 256', 'p50Ms') / medianOf(samples, 'few, 256', 'p50Ms'),
  };
}

const tableOf = (samples: Samples): BenchResult['table'] =>
  [...samples.keys()].map((key) => ({
    'prior records, callers': key,
    'per second': Math.round(medianOf(samples, key, 'perSecond')),
    'p50 ms': Number(medianOf(samples, key, 'p50Ms').toFixed(2)),
    'p95 ms': Number(medianOf(samples, key, 'p95Ms').toFixed(2)),
  }));
