/**
 * Hot-account postings per second through the whole engine, beside a naive transfer and a bare insert of the same rows.
 * Promise: interleaved rounds on one durable server; the median of each is compared.
 */
import { measure, median, numberOption, type Sample } from './load/measure.ts';
import { naiveTransfers, type Rival, rawInserts } from './load/rivals.ts';
import { fundedEngine, LEASES, POSTINGS_PER_SALE, sellers, sellMany, startServer } from './load/sales.ts';
import type { BenchOptions, BenchResult } from './run.ts';

const ROUNDS = 3;
const PHASE_MS = 2_000;
const CALLERS = 1_024;
const NAIVE_CLIENTS = 32;
/** What the engine makes of so many callers. */
const COMMANDS_PER_BATCH = 512;

export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const rounds = numberOption(options, 'rounds', ROUNDS);
  const phaseMs = numberOption(options, 'phase-ms', PHASE_MS);
  const database = await startServer();
  const engine = await fundedEngine(database);
  const samples: Record<'whole path' | 'naive transfer' | 'raw insert', Sample[]> = {
    'whole path': [],
    'naive transfer': [],
    'raw insert': [],
  };
  try {
    await sellMany(engine, LEASES * 8, CALLERS); // every lease exists, every plan is warm
    for (let round = 0; round < rounds; round++) {
      const sold = await measure(sellers(engine, CALLERS), phaseMs);
      samples['whole path'].push({ ...sold, perSecond: sold.perSecond * POSTINGS_PER_SALE });
      samples['naive transfer'].push(await measureRival(await naiveTransfers(database, NAIVE_CLIENTS), phaseMs));
      const raw = await rawInserts(database, engine.shard, COMMANDS_PER_BATCH, COMMANDS_PER_BATCH * POSTINGS_PER_SALE);
      samples['raw insert'].push(await measureRival(raw, phaseMs));
    }
    const { commands, batches, planUs, writeUs } = engine.stats;
    const perSecond = (name: keyof typeof samples): number => median(samples[name].map((sample) => sample.perSecond));
    const naive = perSecond('naive transfer');
    return {
      name: 'ledger',
      figures: {
        vs_naive: perSecond('whole path') / naive,
        vs_raw_insert: perSecond('whole path') / perSecond('raw insert'),
        postings_per_s: perSecond('whole path'),
        commands_per_batch: commands / batches,
        decide_us: planUs / commands,
        round_trip_us: writeUs / commands,
      },
      table: Object.entries(samples).map(([name, of]) => ({
        'postings to one hot account': name,
        'per second': Math.round(perSecond(name as keyof typeof samples)),
        'over naive': Number((perSecond(name as keyof typeof samples) / naive).toFixed(2)),
        'p50 ms': Number(median(of.map((sample) => sample.p50Ms)).toFixed(2)),
        'p95 ms': Number(median(of.map((sample) => sample.p95Ms)).toFixed(2)),
      })),
    };
  } finally {
    await engine[Symbol.asyncDispose]();
    await database.stop();
  }
}

async function measureRival(rival: Rival, phaseMs: number): Promise<Sample> {
  const sample = await measure(rival.callers, phaseMs);
  await rival.close();
  return { ...sample, perSecond: sample.perSecond * rival.postings };
}
