/**
 * `npm run bench -- rest`: server CPU of one POST with credential, contract and Idempotency-Key, beside raw Fastify.
 * Promise: two servers, the same bytes in and out, at the same rate, in alternating rounds; the database stands aside.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type LoadConnection, openConnection, postText } from './load/http-load.ts';
import { median, numberOption } from './load/measure.ts';
import { CREDENTIAL_SECRET, ROUTE } from './load/rest-server.ts';
import type { BenchOptions, BenchResult } from './run.ts';

const ROUNDS = 7;
const REQUESTS_PER_ROUND = 4_000;
/** Offered to both alike: a server that is never idle, or a client that is, would spend other time on waking the other. */
const REQUESTS_PER_SECOND = 5_000;
const TICK_MS = 2;
const CONNECTIONS = 64;
const WARM_ROUNDS = 2;
const PROGRAM = fileURLToPath(new URL('load/rest-server.ts', import.meta.url));
const KINDS = ['fastify', 'surface'] as const;
type Kind = (typeof KINDS)[number];

const BODY = JSON.stringify({
  label: 'nightly audit of the dependency tree',
  max_total_spend_micros: 2_000_000,
  ttl_ms: 86_400_000,
  sandboxes_max: 20,
});

interface Server {
  child: ChildProcess;
  connections: LoadConnection[];
}

interface Round {
  cpuUsPerRequest: number;
  perSecond: number;
}

async function startServer(kind: Kind): Promise<Server> {
  const child = fork(PROGRAM, [kind], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  return { child, connections: Array.from({ length: CONNECTIONS }, () => openConnection(url)) };
}

async function stopServer({ child, connections }: Server): Promise<void> {
  for (const connection of connections) connection.close();
  child.disconnect();
  await once(child, 'exit');
}

/** User and system time of the server, microseconds. */
async function cpuUsOf({ child }: Server): Promise<number> {
  child.send('cpu');
  const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage];
  return user + system;
}

let made = 0;
const nextRequest = (): string =>
  postText(
    ROUTE,
    {
      host: '127.0.0.1',
      authorization: `Bearer ${CREDENTIAL_SECRET}`,
      'content-type': 'application/json',
      'idempotency-key': `bench-${++made}`,
    },
    BODY,
  );

/** Sends at the offered rate; a request waits for a free connection. */
async function offer({ connections }: Server, requests: number): Promise<void> {
  const free = [...connections];
  const startMs = performance.now();
  let [sent, answered] = [0, 0];
  const done = Promise.withResolvers<void>();
  const send = async (connection: LoadConnection): Promise<void> => {
    await connection.ask(nextRequest());
    free.push(connection);
    if (++answered === requests) done.resolve();
  };
  const timer = setInterval(() => {
    const due = Math.min(requests, ((performance.now() - startMs) / 1000) * REQUESTS_PER_SECOND);
    while (sent < due && free.length > 0) {
      sent++;
      send(free.pop()!).catch(done.reject);
    }
  }, TICK_MS);
  await done.promise.finally(() => clearInterval(timer));
}

async function measureRound(server: Server, requests: number): Promise<Round> {
  const [startUs, startMs] = [await cpuUsOf(server), performance.now()];
  await offer(server, requests);
  const elapsedMs = performance.now() - startMs;
  return { cpuUsPerRequest: ((await cpuUsOf(server)) - startUs) / requests, perSecond: (requests / elapsedMs) * 1000 };
}

/** @errors throws when the two servers do not answer the same. */
async function checkSameAnswer(servers: Record<Kind, Server>): Promise<void> {
  const [raw, ours] = await Promise.all(KINDS.map((kind) => servers[kind].connections[0]!.ask(nextRequest())));
  if (raw !== ours) throw new Error(`the servers answer differently:\n${raw}\n${ours}`);
}

/** Options: `rounds`, `requests` per round. */
export async function run(options: BenchOptions = {}): Promise<BenchResult> {
  const rounds = numberOption(options, 'rounds', ROUNDS);
  const requests = numberOption(options, 'requests', REQUESTS_PER_ROUND);
  const servers = { fastify: await startServer('fastify'), surface: await startServer('surface') };
  const samples: Record<Kind, Round[]> = { fastify: [], surface: [] };
  try {
    await checkSameAnswer(servers);
    for (let round = -WARM_ROUNDS; round < rounds; round++)
      for (const kind of KINDS) {
        const sample = await measureRound(servers[kind], requests);
        if (round >= 0) samples[kind].push(sample);
      }
  } finally {
    await Promise.all(KINDS.map((kind) => stopServer(servers[kind])));
  }
  return resultOf(samples);
}

function resultOf(samples: Record<Kind, Round[]>): BenchResult {
  const of = (kind: Kind, field: keyof Round): number => median(samples[kind].map((sample) => sample[field]));
  const cpuUs = { fastify: of('fastify', 'cpuUsPerRequest'), surface: of('surface', 'cpuUsPerRequest') };
  const overs = samples.surface.map((ours, round) => ours.cpuUsPerRequest / samples.fastify[round]!.cpuUsPerRequest);
  return {
    name: 'rest',
    figures: { cpu_over_fastify: median(overs), cpu_us_surface: cpuUs.surface, cpu_us_fastify: cpuUs.fastify },
    table: KINDS.map((kind) => ({
      server: kind === 'surface' ? 'credential, contract, Idempotency-Key' : 'raw Fastify',
      'CPU us per POST': Number(cpuUs[kind].toFixed(1)),
      'POST/s': Math.round(of(kind, 'perSecond')),
    })),
  };
}
