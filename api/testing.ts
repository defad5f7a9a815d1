/**
 * Requests that cost money as handlers run them, without a server around them: for laws over several programs together.
 * Promise: the very path that a request takes from its handler on; nobody waits for a payment that others must carry.
 */
import { type Engine, streamReader } from '@tallystick/engine';
import type { Chain, ChainLink, ChainSettings } from '@tallystick/engine/adapters/chain';
import { sha256Hex } from '@tallystick/kernel';
import type { Call } from '@tallystick/surface';
import { gasGauge } from './quotes/gas.ts';
import type { Till } from './quotes/till.ts';

export { commandFrom } from './outcome.ts';
export { isUnderWay, quoteOf } from './quotes/quotes.ts';
export { executeCharging, type Till, topUp } from './quotes/till.ts';

export function tillOf(engine: Engine, chain: Chain, relayer: string): Till {
  const link = { chain: async () => chain } as ChainLink;
  const desk = { engine, link, settings: { config: chain.config } as ChainSettings };
  return { desk, gas: gasGauge(link, relayer), look: streamReader(engine), leastMicros: 1n, publicUrl: undefined };
}

export interface CallTerms {
  principal: string;
  key: string;
  /** The header PAYMENT-SIGNATURE. */
  payment?: string | undefined;
  /** Until when it waits for a payment; absent: not at all. */
  signal?: AbortSignal;
}

export const callOf = ({ principal, key, payment, signal = AbortSignal.abort() }: CallTerms): Call =>
  ({
    ...{ principal: { id: principal, keyId: 'key_1' }, idempotencyKey: key, fingerprint: sha256Hex(key) },
    ...{ host: 'h', target: '/t', paymentSignature: payment, setHeader: () => undefined, signal },
  }) as unknown as Call;
