/**
 * A caller's quotes in the log: found, offered, bound to a payment, waited for.
 * Promise: every step is a command of the quote's own stream; a payment is bound only after the chain had nothing against it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, type Outcome, readBalances, readStream, type streamReader } from '@tallystick/engine';
import { type Authorization, bareSignature, type Chain, isSignedByKey } from '@tallystick/engine/adapters/chain';
import { type Command, formatUsd, type JsonObject, sha256Hex, userAccount } from '@tallystick/kernel';
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
import { accepted } from '../outcome.ts';
import { assertAccepted, invalid, type PaymentDone, type SentPayment } from './wire.ts';

/** A request with its payment waits so long for the credit. */
export const SETTLE_MS_MAX = 5_000;
/** How often it is looked for, and at first, for chains that mine at once. */
const LOOK_EVERY_MS = 50;
const LOOK_FIRST_MS = 10;
const FIRST_LOOKS = 20;
const RETRY_AFTER_MS = 1_000;
const US_PER_SECOND = 1_000_000n;

/** As `readStream`, together with what others ask at the same time. */
export type LookAt = ReturnType<typeof streamReader>;

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
  const outcome = await ask(engine, call, step, { stream: quoteStream(id), type: 'OfferQuote', body });
  assertDone(outcome);
  const isNew = outcome.answer !== undefined && !outcome.replayed;
  return isNew ? offeredQuote((outcome.answer as JsonObject)['quote'] as JsonObject) : (await readQuote(engine, id))!;
}

/** It is so, by this or by another; else the caller is told why not. @errors throws what the rejection names */
function assertDone(outcome: Outcome): void {
  if (outcome.rejection !== 'NOTHING_TO_CHANGE') accepted(outcome);
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
  const coverMicros = await coverOf(engine, chain, quote, payment);
  const body = { rail: quote.rail, payment, cover_micros: String(coverMicros) };
  // another key each time: what was refused once, for want of the assignment or of money, may be good the next time
  const step = `bind ${quote.round} at ${engine.nowUs()}`;
  const [assigned, bound] = await Promise.all([
    assign(engine, call, quote, payment),
    ask(engine, call, step, { stream: quoteStream(quote.id), type: 'BindQuote', body }),
  ]);
  if (assigned.rejection === 'ALREADY_EXISTS') throw invalid('nonce', 'it is for another quote');
  assertDone(assigned);
  assertDone(bound);
}

/**
 * The token takes it now, or has taken it as this quote's: what its payer has for it and for others, in micros.
 * @errors throws PAYMENT_INVALID
 */
async function coverOf(engine: Engine, chain: Chain, quote: QuoteState, payment: Payment): Promise<bigint> {
  const authorization = authorizationOf(payment);
  const isTaken = (): Promise<boolean> => chain.authorizationState(authorization.from, authorization.nonce);
  const [wasTaken, refusal, balance] = await Promise.all([
    isTaken(),
    chain.simulateAuthorization(authorization),
    chain.balanceOf(authorization.from),
  ]);
  if (!wasTaken && refusal === undefined) return balance;
  if (wasTaken || (await isTaken())) {
    await assertOurs(engine, quote, payment);
    return balance + authorization.value;
  }
  if (!isSignedByKey(chain, authorization)) throw invalid('signature', `the token does not take it: ${refusal}`);
  throw invalid('authorization', lackOf(authorization, balance) ?? `the token does not take it: ${refusal}`);
}

/** Tokens say it in words of their own, most without the amounts. */
function lackOf({ from, value }: Authorization, balance: bigint): string | undefined {
  if (balance >= value) return undefined;
  return `its payer ${from} holds ${formatUsd(balance)}, and ${formatUsd(value)} is to be paid`;
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

/**
 * Until its money is in the account, or it can never come.
 * @param look shared by all who wait: a busy log must not make everybody read it
 * @errors throws PAYMENT_SETTLING when it takes too long
 */
export async function untilOver(look: LookAt, call: Call, id: string): Promise<QuoteState> {
  const giveUpAtMs = performance.now() + SETTLE_MS_MAX;
  for (let looks = 1; ; looks += 1) {
    const quote = (await look(quoteStream(id)))!.state as unknown as QuoteState;
    if (isCredited(quote) || !isUnderWay(quote)) return quote;
    if (performance.now() > giveUpAtMs || call.signal.aborted) throw settling(quote);
    await sleep(looks <= FIRST_LOOKS ? LOOK_FIRST_MS : LOOK_EVERY_MS);
  }
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
