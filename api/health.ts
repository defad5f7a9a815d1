/**
 * Is the program alive, and is everything there that it needs?
 * Promise: /healthz never asks anybody; /readyz names what is missing and since when nothing is hidden.
 */
import { type Engine, head } from '@tallystick/engine';
import type { Provider } from '@tallystick/engine/adapters/provider';
import type { FastifyInstance } from 'fastify';

const CHECK_MS_MAX = 2_000;

interface Check {
  name: string;
  run(): Promise<unknown>;
}

export function registerHealth(app: FastifyInstance, engine: Engine, provider: Provider): void {
  const checks: Check[] = [
    { name: 'database', run: () => head(engine) },
    { name: 'provider', run: () => provider.descriptor() },
  ];
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const results = await Promise.all(checks.map(async (check) => [check.name, await outcomeOf(check)] as const));
    const isReady = results.every(([, outcome]) => outcome === 'ok');
    return reply
      .code(isReady ? 200 : 503)
      .send({ status: isReady ? 'ok' : 'not_ready', checks: Object.fromEntries(results) });
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
