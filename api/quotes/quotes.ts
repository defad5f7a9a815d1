/**
 * A caller's quotes in the log: found, offered, bound to a payment, waited for.
 * Promise: every step is a command of the quote's own stream; a payment is bound only after the chain had nothing against it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import { bareSignature, type Chain, isSignedByKey } from '@tallystick/engine/adapters/chain';
import { type Command, type JsonObject, sha256Hex, userAccount } from '@tallystick/kernel';
import { type Call, refuse } from '@tallystick/surface';
import {
  type AuthorizationState,
  authorizationStream,
  type DepositState,
  depositStream,
  offeredQuote,
  type Payment,
  paymentProblem,
  type QuoteOption,
  type QuoteState,
  quoteIdOf,
  quoteStream,
} from '@tallystick/treasury';
import type { Desk } from '../deposits/desk.ts';
import { assertAccepted, invalid, type PaymentDone, type SentPayment } from './wire.ts';

/** A request with its payment waits so long for the credit. */
export const SETTLE_MS_MAX = 5_000;
/** How often it is looked for without a hint, and after one: what others commit must not make everybody look at once. */
const LOOK_EVERY_MS = 50;
const LOOK_GAP_MS = 5;
const RETRY_AFTER_MS = 1_000;
const US_PER_SECOND = 1_000_000n;

export const quoteOf = (engine: Engine, call: Call): Promise<QuoteState | undefined> =>
  readQuote(engine, quoteIdOf(call.principal!.id, call.idempotencyKey));

async function readQuote(engine: Engine, id: string): Promise<QuoteState | undefined> {
  const state = (await readStream(engine, quoteStream(id)))?.state as unknown as QuoteState | undefined;
  return state === undefined || state.status === '' ? undefined : state;
}

/** Its money is in the account. */
export const isCredited = ({ deposit_id }: QuoteState): boolean => deposit_id !== '';

/** A payment is accepted, or its transaction is not over: nobody is asked for another. */
export const isUnderWay = ({ status }: QuoteState): boolean => status === 'bound' || status === 'signed';

export async function availableMicros(engine: Engine, principal: string): Promise<bigint> {
  return (await readBalances(engine, [userAccount(principal)]))[0]?.availableMicros ?? 0n;
}

/** No caller's key holds a space, so no other key is one of these. */
function ask(engine: Engine, call: Call, step: string, target: Pick<Command, 'stream' | 'type' | 'body'>) {
  const { id, keyId } = call.principal!;
  const key = `${call.idempotencyKey} ${step}`;
  return engine.execute({ ...target, principal: id, grant: keyId, key, fingerprint: sha256Hex(key) });
}

/** The offer that stands: the one there is, or a new round when that can take no payment any more. */
export async function offer(
  { engine, link }: Desk,
  call: Call,
  options: () => Promise<QuoteOption[]>,
): Promise<QuoteState> {
  const id = quoteIdOf(call.principal!.id, call.idempotencyKey);
  const found = await readQuote(engine, id);
  const nowUs = engine.nowUs();
  if (found?.status === 'open' && nowUs < BigInt(found.expires_at_us)) return found;
  const chain = await link.chain();
  const body = {
    key: call.idempotencyKey,
    fingerprint: call.fingerprint,
    options: await options(),
    rail: chain.key,
    network: `eip155:${chain.chainId}`,
    token: chain.config.token,
    pay_to: chain.config.treasury,
  };
  const step = `offer ${found ? found.round + 1 : 0} at ${nowUs / US_PER_SECOND}`;
  const { answer, replayed } = await ask(engine, call, step, { stream: quoteStream(id), type: 'OfferQuote', body });
  const isNew = answer !== undefined && !replayed;
  return isNew ? offeredQuote((answer as JsonObject)['quote'] as JsonObject) : (await readQuote(engine, id))!;
}

/**
 * Binds a payment to the offer that it answers: its terms, then what the token says to it, its signature included. Whose it is and
 * that it is bound goes on record together, before anything of it can leave.
 * @errors throws PAYMENT_INVALID, when nothing is bound; ChainFault when the chain could not be asked
 */
export async function take({ engine, link }: Desk, call: Call, quote: QuoteState, sent: SentPayment): Promise<void> {
  const chain = await link.chain();
  assertAccepted(quote, sent, chain.config);
  const payment = { ...sent.payment, signature: bareSignature(sent.payment.signature as `0x${string}`) };
  const problem = paymentProblem(quote, payment, engine.nowUs());
  if (problem) throw invalid(problem.field, problem.cause);
  if (quote.rail !== chain.key) throw invalid('accepted.network', 'the chain was another one when this was offered');
  await assertGood(engine, chain, quote, payment);
  const [assigned, bound] = await Promise.all([
    assign(engine, call, quote, payment),
    ask(engine, call, `bind ${quote.round} ${payment.from} ${payment.nonce}`, {
      stream: quoteStream(quote.id),
      type: 'BindQuote',
      body: { rail: quote.rail, payment },
    }),
  ]);
  if (assigned.rejection === 'ALREADY_EXISTS') throw invalid('nonce', 'it is for another quote');
  if (bound.rejection === 'PAYMENT_INVALID') throw refuse('PAYMENT_INVALID', bound.facts ?? {});
}

/** The token takes it now, or has taken it as this quote's. @errors throws PAYMENT_INVALID */
async function assertGood(engine: Engine, chain: Chain, quote: QuoteState, payment: Payment): Promise<void> {
  const authorization = authorizationOf(payment);
  const isTaken = (): Promise<boolean> => chain.authorizationState(authorization.from, authorization.nonce);
  const [wasTaken, refusal] = await Promise.all([isTaken(), chain.simulateAuthorization(authorization)]);
  if (!wasTaken && refusal === undefined) return;
  if (wasTaken || (await isTaken())) return assertOurs(engine, quote, payment);
  const field = isSignedByKey(chain, authorization) ? 'authorization' : 'signature';
  throw invalid(field, `the token does not take it: ${refusal}`);
}

/** Carried to the chain before it came here: good when it was known by then whose it is. */
async function assertOurs(engine: Engine, quote: QuoteState, { from, nonce }: Payment): Promise<void> {
  const found = (await readStream(engine, authorizationStream(quote.rail, from, nonce)))?.state;
  if ((found as unknown as AuthorizationState | undefined)?.quote !== quote.id)
    throw invalid('nonce', 'the token has taken it before it was known here');
}

function assign(engine: Engine, call: Call, quote: QuoteState, { from, nonce }: Payment) {
  const body = { rail: quote.rail, payer: from, nonce, quote: quote.id };
  const stream = authorizationStream(quote.rail, from, nonce);
  return ask(engine, call, `assign ${quote.round} ${from} ${nonce}`, { stream, type: 'AssignAuthorization', body });
}

const authorizationOf = ({ from, to, value, valid_after, valid_before, nonce, signature }: Payment) => ({
  from: from as `0x${string}`,
  to: to as `0x${string}`,
  value: BigInt(value),
  validAfter: BigInt(valid_after),
  validBefore: BigInt(valid_before),
  nonce: nonce as `0x${string}`,
  signature: signature as `0x${string}`,
});

/** Until its money is in the account, or it can never come. @errors throws PAYMENT_SETTLING when it takes too long */
export async function untilOver({ engine }: Desk, call: Call, id: string): Promise<QuoteState> {
  const giveUpAtMs = performance.now() + SETTLE_MS_MAX;
  for (;;) {
    const changed = nextCommit(engine, LOOK_EVERY_MS);
    const quote = (await readQuote(engine, id))!;
    if (isCredited(quote) || !isUnderWay(quote)) return quote;
    if (performance.now() > giveUpAtMs || call.signal.aborted) throw settling(quote);
    await changed;
    await sleep(LOOK_GAP_MS);
  }
}

/** Resolves with the next commit that is heard of, or after so long. */
function nextCommit(engine: Engine, waitMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, waitMs);
  const stop = engine.onCommit(() => resolve());
  return promise.finally(() => {
    clearTimeout(timer);
    stop();
  });
}

export function settling({ id, broadcast }: QuoteState): Error {
  const tx = broadcast.attempts.at(-1)?.hash ?? '';
  const facts: JsonObject = { quote_id: id, tx, retry_after_ms: RETRY_AFTER_MS };
  return refuse('PAYMENT_SETTLING', facts);
}

/** Undefined while its money is not in the account. */
export async function paymentOf(engine: Engine, quote: QuoteState): Promise<PaymentDone | undefined> {
  if (!isCredited(quote)) return undefined;
  const row = await readStream(engine, depositStream(quote.deposit_id));
  const { tx, payer, amount_micros } = row!.state as unknown as DepositState;
  return { transaction: tx, network: quote.network, payer, amount: amount_micros };
}
