/**
 * The wallet of this terminal as a payer of what its calls need.
 * Promise: the passphrase is asked for only when there is something to sign; nobody is asked where nobody can answer.
 */
import {
  type Connection,
  connect,
  fileIntents,
  formatUsd,
  type Holds,
  type Payer,
  type Payment,
  type PaymentIntent,
  type PaymentQuestion,
  refuseHere,
  type Signer,
  spendGuard,
} from '@tallystick/sdk';
import { askYes } from '../ask-yes.ts';
import type { Io } from '../io.ts';
import { printable } from '../output/render.ts';
import { type Paying, readSettings, walletFile } from '../session.ts';
import { readPassphrase } from '../wallet/passphrase.ts';
import { openWallet } from '../wallet/wallet.ts';
import { limitsOf, paymentsFolder, readLimits } from './limits-file.ts';

/** A platform that takes longer to say what a wallet holds has not said it. */
const HOLDS_MS_MAX = 5_000;

/** What whoever runs a command says about its payments. */
export interface PayWish {
  /** Absent: within the limits yes, above them a person is asked. */
  pay?: 'yes' | 'no' | 'ask' | undefined;
  /** The most that `yes` means; given alone it means yes up to this. */
  maxPay?: bigint | undefined;
}

export interface PayingTerms {
  io: Io;
  wish: PayWish;
  /** Standard input is a person's. */
  canAsk: boolean;
  onPayment: (payment: Payment) => void;
}

/** What `connect` takes of payments. */
export function payingOf(terms: PayingTerms): Paying {
  const { wish, onPayment } = terms;
  return (connection) => ({ onPayment, ...(wish.pay === 'no' ? {} : { payer: payerOf(terms, connection) }) });
}

/** Reads limits anew for every payment: what a person has just changed counts. */
function payerOf(terms: PayingTerms, connection: Connection): Payer {
  const signer = openedOnce(terms.io);
  const intents = fileIntents(paymentsFolder(terms.io), terms.io.nowMs);
  const holds = holdsOf(connection);
  const common = { signer, intents, holds, wayOut, nowMs: terms.io.nowMs, ...asking(terms) };
  const guard = async (): Promise<Payer> => spendGuard({ ...(await limitsHere(terms, connection)), ...common });
  return {
    pay: async (required, call) => (await guard()).pay(required, call),
    accepted: async (call) => (await guard()).accepted!(call),
    settled: async (payment, call) => (await guard()).settled!(payment, call),
  };
}

/** As the platform sees it on its chain; only of the wallet whose account this is. */
export const holdsOf =
  ({ baseUrl, apiKey = '', fetch }: Connection): Holds =>
  async (address, { network, asset }) => {
    const { services } = connect({ baseUrl, apiKey, attemptsMax: 1, ...(fetch ? { fetch } : {}) });
    const signal = AbortSignal.timeout(HOLDS_MS_MAX);
    const wallet = await services.wallet.getWallet({}, { signal }).catch(() => undefined);
    const isIt =
      wallet?.address === address.toLowerCase() && wallet.network === network && wallet.token === asset.toLowerCase();
    return isIt ? wallet.balanceMicros : undefined;
  };

async function limitsHere({ io, wish }: PayingTerms, connection: Connection) {
  const { baseUrl, apiKey = '' } = connection;
  const limits = limitsOf(await readLimits(io), baseUrl);
  if (limits.allow.length === 0) throw unknownPlatform(baseUrl);
  const settings = await readSettings(io);
  const account = settings && settings.api_key === apiKey ? settings.principal : undefined;
  return { ...limits, askAlways: wish.pay === 'ask', account };
}

/** Whoever names a platform's address for us must not name its payee, too. */
function unknownPlatform(baseUrl: string): Error {
  const facts = { cap: 'pinned', asked: baseUrl, available: '' };
  const suggestion =
    `Nothing was paid: this wallet has not learned where ${baseUrl} is paid. Whoever owns it does so by: ` +
    `tally login --url ${baseUrl} (or tally wallet limits --repin --url ${baseUrl}).`;
  return refuseHere('PAYMENT_PAYEE_REFUSED', { facts, suggestion });
}

/** The keystore that is named, else the one that logged in. */
export const payingWallet = async (io: Io, named?: string): Promise<string> =>
  walletFile(io, named ?? (await readSettings(io))?.wallet);

/** Scrypt takes a second: once for a process. A wallet that did not open is tried again. */
function openedOnce(io: Io): () => Promise<Signer> {
  let opened: Promise<Signer> | undefined;
  const open = async (): Promise<Signer> =>
    (await openWallet(await payingWallet(io), await readPassphrase(io, undefined, false))).signer;
  return () => {
    opened ??= open().catch((fault: unknown) => {
      opened = undefined;
      throw fault;
    });
    return opened;
  };
}

function asking({ io, wish: { pay, maxPay }, canAsk }: PayingTerms): {
  ask?: (asked: PaymentQuestion) => Promise<boolean>;
} {
  if (pay === 'yes' || (pay === undefined && maxPay !== undefined))
    return { ask: async ({ amountMicros }) => amountMicros <= upTo(amountMicros, maxPay) };
  if (!canAsk) return {};
  return { ask: (asked) => askYes(io, questionOf(asked)) };
}

/** @errors throws ApiError when the amount is above what was said */
function upTo(amountMicros: bigint, maxPay: bigint | undefined): bigint {
  if (maxPay === undefined || amountMicros <= maxPay) return amountMicros;
  const [asked_micros, cap_micros] = [Number(amountMicros), Number(maxPay)];
  const facts = { cap: 'max_pay', cap_micros, asked_micros, available_micros: cap_micros };
  throw refuseHere('PAYMENT_ABOVE_LIMIT', {
    facts,
    suggestion: `Give --max-pay '${formatUsd(amountMicros)}' or more.`,
  });
}

const WHY_WORDS = {
  per_payment: 'above the limit for one payment',
  per_day: 'above what is left of the day',
  payments_per_day: 'as many payments as a day may have',
  ask_always: 'within the limits; you asked to be asked',
} as const;

function questionOf({ amountMicros, above, option: { payTo, network }, call }: PaymentQuestion): string {
  const [one, day] = [formatUsd(above.perPaymentMicros), formatUsd(above.perDayMicros)];
  const limits = `one payment ${one}, a day ${day}, left of it ${formatUsd(above.leftOfDayMicros)}`;
  const path = call.url.replace(/^[a-z]+:\/\/[^/]+/, '').replace(/[?#].*$/, '');
  const what = `${call.method} ${path} needs ${formatUsd(amountMicros)} from your wallet, to ${payTo} on ${network}`;
  return printable(`${what} (${WHY_WORDS[above.cap]}: ${limits}).\nPay it? [y/N] `);
}

/** How a person allows what was refused. */
function wayOut({ id, key, cause }: PaymentIntent): string {
  const other =
    cause === 'ask_always'
      ? 'leaves out --pay ask: the limits hold it'
      : 'raises the limits: tally wallet limits --help';
  return (
    `Whoever owns the wallet allows it by: tally payments approve ${id} (or ${other}). ` +
    `Then repeat the call with the same key: ${key}`
  );
}
