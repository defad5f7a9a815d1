/**
 * Is the program alive, and is everything there that it needs?
 * Promise: /healthz never asks anybody; /readyz names what is missing, what limps, and the time that receipts have.
 */
import { type Engine, head } from '@tallystick/engine';
import type { Provider } from '@tallystick/engine/adapters/provider';
import type { FastifyInstance } from 'fastify';

const CHECK_MS_MAX = 2_000;
const MICROS_PER_MS = 1_000n;

export interface Check {
  name: string;
  run(): Promise<unknown>;
}

export interface HealthOptions {
  engine: Engine;
  provider: Provider;
  /** What is told and does not stop the rest from being ready. */
  advisory: readonly Check[];
}

export function registerHealth(app: FastifyInstance, { engine, provider, advisory }: HealthOptions): void {
  const checks: Check[] = [
    { name: 'database', run: () => head(engine) },
    { name: 'provider', run: () => provider.descriptor() },
  ];
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const told = async (check: Check) => [check.name, await outcomeOf(check)] as const;
    const [results, others] = await Promise.all([checks.map(told), advisory.map(told)].map((all) => Promise.all(all)));
    const isReady = results!.every(([, outcome]) => outcome === 'ok');
    const at = new Date(Number(engine.nowUs() / MICROS_PER_MS)).toISOString();
    return reply
      .code(isReady ? 200 : 503)
      .send({ status: isReady ? 'ok' : 'not_ready', checks: Object.fromEntries([...results!, ...others!]), at });
  });
}

async function outcomeOf({ run }: Check): Promise<string> {
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(`no answer within ${CHECK_MS_MAX} ms`), CHECK_MS_MAX);
  const answer = run().then(
    () => 'ok',
    (fault: Error) => fault.message || fault.name,
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
