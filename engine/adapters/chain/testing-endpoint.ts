/**
 * An endpoint of a development chain that says what a test wants: lies, lags, refuses.
 * Promise: what the test does not change is the chain's own answer.
 */
import type { DevelopmentChain } from './embedded/chain.ts';
import type { RpcRequest } from './embedded/evm.ts';
import { serveChain } from './embedded/server.ts';

/** `honest` asks the chain itself; what is thrown is answered as a JSON-RPC error. */
export type Answer = (asked: { method: string; params: unknown[] }, honest: () => Promise<unknown>) => unknown;

export interface TestEndpoint extends AsyncDisposable {
  readonly url: string;
  /** Answers otherwise from now on; absent: honestly. */
  say(answer?: Answer): void;
}

export async function startEndpoint(chain: DevelopmentChain, first?: Answer): Promise<TestEndpoint> {
  let answer = first;
  const request = async (asked: RpcRequest): Promise<unknown> => {
    const honest = () => chain.request(asked);
    return answer ? answer({ method: asked.method, params: (asked.params ?? []) as unknown[] }, honest) : honest();
  };
  const { url, server } = await serveChain({ ...chain, request }, 0);
  return {
    url,
    say(next) {
      answer = next;
    },
    async [Symbol.asyncDispose]() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await promise;
    },
  };
}
