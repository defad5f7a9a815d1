/**
 * A meter whose machines only count: the engine's own timers and outbox, real tickets, nothing on the other side.
 * Also a program for several meters at once: `node counting-meter.ts FOLDER NOW_US`; it works until its parent lets go.
 * Promise: a delivery is counted after its ticket was signed and kept, which is where a real machine would get it.
 */
import {
  createEngine,
  type Delivery,
  type Engine,
  type KeepTicket,
  runOutbox,
  runTimers,
  statusReader,
  ticketKeeper,
} from '@tallystick/engine';
import { openDatabase } from '@tallystick/engine/database';
import {
  type JsonObject,
  logKeyFromSeed,
  RUN_TICKET_TYPE,
  readRunTicket,
  signEnvelope,
  signingKeyFromSeed,
} from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';

export const PROVIDER = 'counting';
export const LOG_KEY = logKeyFromSeed('log.example/bench', Buffer.alloc(32, 3));
const LEASE_KEY = signingKeyFromSeed(Buffer.alloc(32, 4));
const TIMER_EVERY_MS = 5;
const CONCURRENT_MAX = 256;

export interface Counts {
  created: number;
  renewed: number;
  faults: string[];
}

/** A meter at work until it is disposed of. */
export interface CountingMeter extends AsyncDisposable {
  counts: Counts;
}

/** Starts both loops on an engine in the meter's role. */
export function startCounting(engine: Engine): CountingMeter {
  const counts: Counts = { created: 0, renewed: 0, faults: [] };
  const end = new AbortController();
  const { signal } = end;
  const onError = (fault: unknown): unknown => counts.faults.push(String(fault));
  const [keep, statusOf] = [ticketKeeper(engine), statusReader(engine)];
  const handlers = {
    'create-sandbox': async (delivery: Delivery) => {
      await signAndKeep(keep, delivery);
      await reportStarted(engine, delivery.body);
      counts.created++;
    },
    'renew-lease': async (delivery: Delivery) => {
      if ((await statusOf(`sandbox:${delivery.body['sandbox']}`)) === 'ended') throw new Error('sold to nobody');
      await signAndKeep(keep, delivery);
      counts.renewed++;
    },
  };
  const loops = [
    runTimers(engine, { signal, everyMs: TIMER_EVERY_MS, onError }),
    runOutbox(engine, handlers, { signal, onError, concurrentMax: CONCURRENT_MAX }),
  ];
  return {
    counts,
    async [Symbol.asyncDispose]() {
      end.abort();
      await Promise.all(loops);
    },
  };
}

/** @errors throws when a sale does not make a ticket. */
async function signAndKeep(keep: KeepTicket, { body, receipt }: Delivery): Promise<void> {
  const sold = body['ticket'] as JsonObject;
  const ticket = readRunTicket({ ...sold, receipt: receipt.id, receipt_hash: receipt.hash });
  if ('error' in ticket) throw new Error(`the sale ${receipt.id} does not make a ticket: ${ticket.error}`);
  const envelope = signEnvelope(RUN_TICKET_TYPE, { ...ticket }, LEASE_KEY);
  await keep({ sandbox: ticket.sandbox, seq: ticket.seq, pos: receipt.pos, envelope });
}

async function reportStarted(engine: Engine, { sandbox, incarnation, image }: JsonObject): Promise<void> {
  const outcome = await engine.execute({
    principal: `provider:${PROVIDER}`,
    key: `started:${sandbox}`,
    stream: `sandbox:${sandbox}`,
    type: 'ReportStarted',
    body: {
      incarnation: incarnation!,
      started_at_us: String(engine.nowUs()),
      isolation: 'mock',
      image_version: image!,
    },
  });
  if (outcome.rejection) throw new Error(`${sandbox} was not started: ${outcome.rejection}`);
}

if (import.meta.main) {
  const [folder, nowUs] = process.argv.slice(2) as [string, string];
  const database = await openDatabase({ folder });
  const engine = createEngine({ database, role: 'meter', rules: RULES, logKey: LOG_KEY, nowUs: () => BigInt(nowUs) });
  const stopWatching = engine.watchHead();
  process.once('message', async () => {
    const meter = startCounting(engine);
    await new Promise((resolve) => process.once('message', resolve));
    await meter[Symbol.asyncDispose]();
    await stopWatching();
    await engine[Symbol.asyncDispose]();
    const { user, system } = process.cpuUsage();
    process.send?.({ ...meter.counts, stats: engine.stats, cpuUs: user + system }, () => process.disconnect());
  });
  process.send?.('ready');
}
