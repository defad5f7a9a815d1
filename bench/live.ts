/**
 * `npm run bench -- live`: one log and a thousand readers on real WebSockets, beside a naive broadcast of JSON texts.
 * Promise: figures are the server's own CPU per event that arrived; slow readers are measured, not assumed.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type LiveReader, openReaders } from './load/live-readers.ts';
import type { LiveCost, LiveOrder } from './load/live-server.ts';
import { median, numberOption } from './load/measure.ts';
import type { BenchOptions, BenchResult } from './run.ts';

const READERS = 1_000;
const SLOW_READERS = 500;
const ROUNDS = 3;
const EVENTS_PER_PHASE = 32;
/** Events appended together: alone, and as a batch of commands leaves them. */
const BURSTS = [1, 8];
/** What slow readers miss before they are measured: more than a window. */
const SLOW_EVENTS = 1_200;
const SLOW_EVENTS_AT_ONCE = 200;
const QUIET_MS = 300;
const PROGRAM = fileURLToPath(new URL('load/live-server.ts', import.meta.url));
const KINDS = ['ours', 'naive'] as const;
type Kind = (typeof KINDS)[number];

interface Server {
  child: ChildProcess;
  kind: Kind;
  url: string;
  readers: LiveReader[];
  appended: number;
  arrived: number;
  wake(): void;
}

interface Phase {
  cpuUsPerEvent: number;
  eventsPerSecond: number;
  appendUsPerEvent: number;
}

async function startServer(kind: Kind): Promise<Server> {
  const child = fork(PROGRAM, [kind], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  return { child, kind, url, readers: [], appended: 0, arrived: 0, wake: () => undefined };
}

async function addReaders(server: Server, count: number): Promise<LiveReader[]> {
  const added = await openReaders(server.url, server.kind, count, (events) => {
    server.arrived += events;
    server.wake();
  });
  return added;
}

async function stopServer({ child, readers }: Server): Promise<void> {
  for (const { socket } of readers) socket.terminate();
  child.disconnect();
  await once(child, 'exit');
}

const order = (server: Server, what: LiveOrder): unknown => server.child.send(what);

async function costOf(server: Server): Promise<LiveCost> {
  order(server, 'cost');
  const [cost] = (await once(server.child, 'message')) as [LiveCost];
  return cost;
}

/** Resolves when every fast reader has `events` more than before. */
async function appendAndWait(server: Server, events: number, fastReaders: number): Promise<void> {
  const wanted = server.arrived + events * fastReaders;
  order(server, { append: events });
  server.appended += events;
  while (server.arrived < wanted) await new Promise<void>((resolve) => (server.wake = resolve));
}

async function measurePhase(server: Server, burst: number, fastReaders: number): Promise<Phase> {
  const [before, startMs] = [await costOf(server), performance.now()];
  for (let sent = 0; sent < EVENTS_PER_PHASE; sent += burst) await appendAndWait(server, burst, fastReaders);
  const [after, elapsedMs] = [await costOf(server), performance.now() - startMs];
  const delivered = EVENTS_PER_PHASE * fastReaders;
  return {
    cpuUsPerEvent: (after.cpuUs - before.cpuUs) / delivered,
    eventsPerSecond: (delivered / elapsedMs) * 1000,
    appendUsPerEvent: (after.appendUs - before.appendUs) / EVENTS_PER_PHASE,
  };
}

/** More readers, which never read again; then so many events that no window is open any more. */
async function addSlowReaders(server: Server, count: number, fastReaders: number): Promise<void> {
  const slow = await addReaders(server, count);
  server.readers.push(...slow);
  for (const { socket } of slow) socket.pause();
  for (let sent = 0; sent < SLOW_EVENTS; sent += SLOW_EVENTS_AT_ONCE)
    await appendAndWait(server, SLOW_EVENTS_AT_ONCE, fastReaders);
  await sleep(QUIET_MS);
}

/** Every row of the table: what was measured, in the order of the rounds. */
type Samples = Map<string, Phase[]>;
const nameOf = (kind: Kind, burst: number, isSlow = false): string =>
  `${kind}, ${burst} at once${isSlow ? ', and slow readers' : ''}`;

async function measureRounds(servers: Server[], samples: Samples, rounds: number, readers: number, isSlow = false) {
  for (let round = -1; round < rounds; round++)
    for (const server of servers)
      for (const burst of BURSTS) {
        const phase = await measurePhase(server, burst, readers);
        const name = nameOf(server.kind, burst, isSlow);
        if (round >= 0) samples.set(name, [...(samples.get(name) ?? []), phase]);
      }
}

/** Options: `readers`, `slow`, `rounds`. */
export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const readers = numberOption(options, 'readers', READERS);
  const slow = numberOption(options, 'slow', SLOW_READERS);
  const rounds = numberOption(options, 'rounds', ROUNDS);
  const servers = await Promise.all(KINDS.map(startServer));
  const samples: Samples = new Map();
  try {
    for (const server of servers) server.readers.push(...(await addReaders(server, readers)));
    await measureRounds(servers, samples, rounds, readers);
    for (const server of servers) await addSlowReaders(server, slow, readers);
    await measureRounds(servers, samples, rounds, readers, true);
    return resultOf(samples);
  } finally {
    await Promise.all(servers.map(stopServer));
  }
}

function resultOf(samples: Samples): BenchResult {
  const of = (name: string, field: keyof Phase): number => median(samples.get(name)!.map((phase) => phase[field]));
  const [alone, together] = [BURSTS[0]!, BURSTS.at(-1)!];
  const ours = nameOf('ours', together);
  return {
    name: 'live',
    figures: {
      events_per_s: of(ours, 'eventsPerSecond'),
      cpu_us_per_event: of(ours, 'cpuUsPerEvent'),
      cpu_us_per_event_alone: of(nameOf('ours', alone), 'cpuUsPerEvent'),
      cpu_over_naive: of(ours, 'cpuUsPerEvent') / of(nameOf('naive', together), 'cpuUsPerEvent'),
      cpu_over_naive_alone: of(nameOf('ours', alone), 'cpuUsPerEvent') / of(nameOf('naive', alone), 'cpuUsPerEvent'),
      cpu_with_slow_over_without: of(nameOf('ours', together, true), 'cpuUsPerEvent') / of(ours, 'cpuUsPerEvent'),
      append_us_with_slow: of(nameOf('ours', together, true), 'appendUsPerEvent'),
      append_us: of(ours, 'appendUsPerEvent'),
    },
    table: [...samples.keys()].map((name) => ({
      'server, events': name,
      'events/s': Math.round(of(name, 'eventsPerSecond')),
      'CPU us per event': Number(of(name, 'cpuUsPerEvent').toFixed(2)),
      'append us': Number(of(name, 'appendUsPerEvent').toFixed(1)),
    })),
  };
}
