/**
 * Requests that cost money as handlers run them, without a server around them: for laws over several programs together.
 * Promise: the very path that a request takes from its handler on; nobody waits for a payment that others must carry.
 */
import { type Engine, streamReader } from '@tallystick/engine';
import type { Authorization, Chain, ChainLink, ChainSettings } from '@tallystick/engine/adapters/chain';
import { signAuthorization, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { type JsonObject, sha256Hex } from '@tallystick/kernel';
import type { Call } from '@tallystick/surface';
import type { QuoteState } from '@tallystick/treasury';
import { gasGauge } from './quotes/gas.ts';
import type { Till } from './quotes/till.ts';
import { requirementOf } from './quotes/wire.ts';

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

/** PAYMENT-SIGNATURE as the public clients of x402 v2 write it. */
export function paymentHeaderOf(accepted: JsonObject, { signature, ...signed }: Authorization): string {
  const authorization = Object.fromEntries(Object.entries(signed).map(([member, value]) => [member, String(value)]));
  const sent = { x402Version: 2, accepted, payload: { signature, authorization } };
  return Buffer.from(JSON.stringify(sent)).toString('base64');
}

const USABLE_S = 300;

/** The first way to pay that a quote offers, signed by a wallet; usable for some minutes by the clock here. */
export async function signedPayment(
  given: TestChain,
  wallet: Awaited<ReturnType<TestChain['wallet']>>,
  quote: QuoteState,
): Promise<string> {
  const [option] = quote.options;
  const validBefore = BigInt(Math.floor(Date.now() / 1_000) + USABLE_S);
  const terms = { value: BigInt(option!.amount_micros), validBefore, nonce: quote.auth_nonce as `0x${string}` };
  return paymentHeaderOf(requirementOf(quote, option!, given.config), await signAuthorization(given, wallet, terms));
}
