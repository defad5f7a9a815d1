/**
 * The till of the platform in memory: asks for payments by 402, checks them and takes its time to settle them.
 * Promise: speaks x402 v2 as the platform does; what it took is counted as the token would, once per payer and nonce.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type JsonObject, keccak256, recoverTransferAuthorization } from '@tallystick/kernel';

/** Of the little of a server that a till needs. */
interface Asked {
  method: string;
  url: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What is answered instead of the call, or beside its answer. */
export interface TillAnswer {
  /** Absent: the call goes on. */
  status?: number;
  headers: Record<string, string>;
  body?: JsonObject;
}

interface Quote {
  id: string;
  /** Whose call it is for. */
  account: string;
  round: number;
  /** Answers that still say `payment_settling`; undefined before a payment is bound. */
  settling: number | undefined;
  isPaid: boolean;
  payer: string;
  value: string;
}

export interface FakeTill {
  /** What a charging call lacks; 0: nothing, everything is free. */
  priceMicros: bigint;
  /** Which calls, as `POST /v1/jobs`. */
  charging: RegExp;
  network: string;
  asset: string;
  payTo: string;
  /** Absent: the account whose call it is. */
  creditAccount: string | undefined;
  /** How often a paid call is told to wait. */
  settleAnswers: number;
  /** How often a settled payment turns out to be too little. */
  tooLittle: number;
  maxTimeoutS: number;
  /** Changes an offer before it is told. */
  tamper: ((accept: JsonObject) => JsonObject) | undefined;
  /** What the token moved, by `payer nonce`. */
  taken: Map<string, bigint>;
  /** Answers to paid calls, in order: 200 stands for letting the call through. */
  answers: number[];
  /** The quote of this key is dead; the next one is another round. */
  lapse(key: string): void;
  answer(asked: Asked, account: string): TillAnswer;
}

/** POST of jobs and sandboxes. */
const CHARGING = /^POST \/v1\/(jobs|jobs\/[^/]+\/sandboxes|sandboxes)$/;
const LADDER = [
  ['shortfall', 1n],
  ['6h', 6n],
  ['24h', 24n],
] as const;
const CHAIN_ID = 31_337n;
const TOKEN = { name: 'USD Coin', version: '1' };
const RETRY_AFTER_MS = 1;

const base64 = (value: JsonObject): string => Buffer.from(JSON.stringify(value)).toString('base64');

export const nonceOf = (quoteId: string, round: number): string =>
  `0x${Buffer.from(keccak256(Buffer.from(`${quoteId}/${round}/fake`))).toString('hex')}`;

export function newFakeTill(): FakeTill {
  const quotes = new Map<string, Quote>();
  const till: FakeTill = {
    priceMicros: 0n,
    charging: CHARGING,
    network: `eip155:${CHAIN_ID}`,
    asset: `0x${'a'.repeat(40)}`,
    payTo: `0x${'b'.repeat(40)}`,
    creditAccount: undefined,
    settleAnswers: 2,
    tooLittle: 0,
    maxTimeoutS: 300,
    tamper: undefined,
    taken: new Map(),
    answers: [],
    lapse: (key) => void nextRound(quotes.get(key)),
    answer: (asked, account) => {
      const key = headerOf(asked, 'idempotency-key');
      if (till.priceMicros === 0n || !till.charging.test(`${asked.method} ${asked.url}`)) return { headers: {} };
      const quote = quotes.get(key) ?? newQuote(key, account);
      quotes.set(key, quote);
      const answer = answerOf(till, quote, headerOf(asked, 'payment-signature'));
      till.answers.push(answer.status ?? 200);
      return answer;
    },
  };
  return till;
}

const headerOf = ({ headers }: Asked, name: string): string => String(headers[name] ?? '');

const newQuote = (key: string, account: string): Quote => ({
  account,
  id: `quo_${createHash('sha256').update(key).digest('hex').slice(0, 32)}`,
  round: 1,
  settling: undefined,
  isPaid: false,
  payer: '',
  value: '',
});

function nextRound(quote: Quote | undefined): void {
  if (quote) Object.assign(quote, { round: quote.round + 1, settling: undefined, isPaid: false });
}

function answerOf(till: FakeTill, quote: Quote, header: string): TillAnswer {
  if (header !== '' && quote.settling === undefined && !quote.isPaid) {
    const cause = bind(till, quote, header);
    if (cause !== undefined) return problem(400, 'payment_invalid', { cause });
  }
  if (quote.settling !== undefined && quote.settling > 0) {
    quote.settling -= 1;
    return problem(503, 'payment_settling', { quote_id: quote.id, retry_after_ms: RETRY_AFTER_MS });
  }
  if (quote.settling === 0 && till.tooLittle > 0) {
    till.tooLittle -= 1;
    nextRound(quote);
  }
  if (quote.settling === undefined && !quote.isPaid) return offer(till, quote);
  Object.assign(quote, { settling: undefined, isPaid: true });
  const { payer, value: amount } = quote;
  const transaction = `0x${randomBytes(32).toString('hex')}`;
  const said = { success: true, transaction, network: till.network, payer, amount };
  return { headers: { 'payment-response': base64(said) } };
}

/** What is wrong with the payment; undefined when it is bound now. */
function bind(till: FakeTill, quote: Quote, header: string): string | undefined {
  const { accepted, payload } = JSON.parse(Buffer.from(header, 'base64').toString());
  const { from, to, value, validAfter, validBefore, nonce } = payload.authorization;
  if (nonce !== nonceOf(quote.id, quote.round) || accepted.extra.quoteId !== quote.id) return 'another quote';
  if (to.toLowerCase() !== till.payTo || accepted.amount !== value) return 'another payment than the one offered';
  const domain = { ...TOKEN, chainId: CHAIN_ID, verifyingContract: till.asset };
  const times = { validAfter: BigInt(validAfter), validBefore: BigInt(validBefore) };
  const message = { from, to, value: BigInt(value), ...times, nonce };
  if (recoverTransferAuthorization(domain, message, payload.signature) !== from) return 'signature';
  Object.assign(quote, { settling: till.settleAnswers, payer: from, value });
  till.taken.set(`${from} ${nonce}`, BigInt(value));
  return undefined;
}

function offer(till: FakeTill, quote: Quote): TillAnswer {
  const authNonce = nonceOf(quote.id, quote.round);
  const accepts = LADDER.map(([label, times]) => {
    const extra = { ...TOKEN, quoteId: quote.id, authNonce, creditAccount: till.creditAccount ?? quote.account, label };
    const amount = String(till.priceMicros * times);
    const { network, asset, payTo, maxTimeoutS: maxTimeoutSeconds } = till;
    const accept = { scheme: 'exact', network, asset, amount, payTo, maxTimeoutSeconds, extra };
    return till.tamper?.(accept) ?? accept;
  });
  const resource = { url: 'http://platform/v1', description: 'ledger top-up', mimeType: 'application/json' };
  const required = base64({ x402Version: 2, error: 'insufficient_funds', resource, accepts });
  const shortfall_micros = Number(till.priceMicros);
  const { headers, ...told } = problem(402, 'insufficient_funds', { shortfall_micros, quote_id: quote.id });
  return { ...told, headers: { ...headers, 'payment-required': required, 'cache-control': 'no-store' } };
}

const problem = (status: number, code: string, facts: JsonObject): TillAnswer => ({
  status,
  headers: { 'content-type': 'application/problem+json' },
  body: { type: `urn:tallystick:problem:${code}`, title: code, status, code, detail: code, suggestion: '', ...facts },
});
