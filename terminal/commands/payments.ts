/**
 * `tally payments`, `tally wallet limits`, `fund` and `balance`: what the wallet pays by itself, paid, and has.
 * Promise: nothing is paid by any of these but by `approve`, which a person says.
 */
import {
  approvePayment,
  fileIntents,
  formatUsd,
  type Holds,
  isOfferOpen,
  isSpent,
  type PaymentIntent,
  payeeOf,
  plain,
  refuseHere,
  WalletSchema,
} from '@tallystick/sdk';
import { Argument, type Command, Option } from 'commander';
import { askYes } from '../ask-yes.ts';
import { type Column, type PlainObject, printable } from '../output/render.ts';
import { changeLimits, limitsOf, parsePayee, paymentsFolder, pinPayee, readLimits } from '../payments/limits-file.ts';
import { holdsOf, payingWallet } from '../payments/payer.ts';
import { findAddress, findApiKey } from '../session.ts';
import { parseAmount } from '../text/amount.ts';
import { formatDuration } from '../text/duration.ts';
import { UsageError } from '../text/usage-error.ts';
import { readPassphrase } from '../wallet/passphrase.ts';
import { openWallet } from '../wallet/wallet.ts';
import { addCommand, amount, given, onRun, type Run, told, type World, withKey } from './command.ts';

const PAYMENT_COLUMNS: Column[] = [
  { field: 'id', heading: 'PAYMENT' },
  { field: 'status', heading: 'STATUS' },
  { field: 'amount_micros', heading: 'AMOUNT' },
  { field: 'at', heading: 'AT' },
  { field: 'call', heading: 'FOR' },
  { field: 'cause', heading: 'WHY' },
  { field: 'tx', heading: 'TRANSACTION' },
];
/** Beside `smallest`, words of the labels of offers. */
const PREFERENCES = ['smallest', '6h', '24h', 'floor'];
/** Of development dollars: plenty for a first afternoon. */
const FUND_MICROS_DEFAULT = 10_000_000n;
const CLOCK_MARGIN_MS = 60_000;
const NOT_KNOWN =
  'Signed without knowing what the wallet holds: its platform was not heard. It counts for the day’s limit all the same.';
const MS_PER_S = 1_000;

export function addPaymentCommands(program: Command, wallet: Command, world: World): void {
  addLimits(wallet, world);
  addFund(wallet, world);
  const balance = addCommand(wallet, {
    usage: 'balance',
    summary: 'what the wallet itself holds on the platform’s chain',
    examples: ['tally wallet balance', 'tally wallet balance --json'],
  });
  onRun(world, balance, async ({ connect, out }) =>
    out.record(plain(WalletSchema, await (await connect()).wallet.get())),
  );
  const payments = program.command('payments').summary('payments that the wallet made, or was not let make');
  addList(payments, world);
  addApprove(payments, world);
}

interface LimitsOptions {
  perPayment?: bigint;
  perDay?: bigint;
  prefer?: string;
  allow?: string[];
  repin?: boolean;
}

/** @errors UsageError */
const limitAmount = told((text) => (/^(?:0|\$0|0usd|0micros)$/i.test(text) ? 0n : parseAmount(text)));

function addLimits(wallet: Command, world: World): void {
  const command = addCommand(wallet, {
    usage: 'limits',
    summary: 'show or set what the wallet pays by itself when a call lacks money, and where to',
    examples: [
      'tally wallet limits',
      "tally wallet limits --per-payment '$1' --per-day '$5'",
      'tally wallet limits --per-payment 0     # never without being asked, as at first',
      'tally wallet limits --repin             # the platform pays into another address now, and you know why',
    ],
  })
    .option('--per-payment <amount>', 'the most in one payment; 0: ask always', limitAmount)
    .option(
      '--per-day <amount>',
      'the most in any 24 hours, with what you allowed yourself; 0: ask always',
      limitAmount,
    )
    .addOption(
      new Option(
        '--prefer <amount>',
        'which amount of an offer to take where the limits hold it: the smallest, one for so many hours, or the one that is safe from running out',
      ).choices(PREFERENCES),
    )
    .option('--allow <payee...>', 'pay there too: network/token/payee, as eip155:8453/0x…/0x…')
    .option('--repin', 'trust the payee that the platform names today');
  onRun<LimitsOptions>(world, command, setLimits);
}

async function setLimits(run: Run, _: string[], options: LimitsOptions): Promise<void> {
  const { io, out } = run;
  const { url } = await findAddress(io, run.url);
  const { perPayment, perDay, prefer, allow, repin } = options;
  await changeLimits(io, (before) => ({
    ...before,
    ...(perPayment === undefined ? {} : { per_payment_micros: String(perPayment) }),
    ...(perDay === undefined ? {} : { per_day_micros: String(perDay) }),
    ...(prefer === undefined ? {} : { prefer: prefer === 'smallest' ? null : prefer }),
    allow: [...new Set([...before.allow, ...(allow ?? []).map((text) => textOf(text))])],
  }));
  if (repin) await pinPayee(io, url, payeeOf(await (await run.connect()).deposits.reserves()), true);
  await out.record(await shownLimits(run, url));
}

const textOf = (text: string): string => {
  const { network, asset, payTo } = parsePayee(text);
  return `${network}/${asset}/${payTo}`;
};

async function shownLimits({ io }: Run, url: string): Promise<PlainObject> {
  const file = await readLimits(io);
  const { perPaymentMicros, perDayMicros } = limitsOf(file, url);
  return {
    per_payment_micros: Number(perPaymentMicros),
    per_day_micros: Number(perDayMicros),
    prefer: file.prefer ?? 'smallest',
    platform: url,
    payee: file.pinned[url] ?? null,
    allow: file.allow,
  };
}

function addFund(wallet: Command, world: World): void {
  const command = addCommand(wallet, {
    usage: 'fund',
    summary: 'give the wallet development dollars to pay with (a development platform on loopback only)',
    examples: ['tally wallet fund', "tally wallet fund --amount '$2.50'"],
  }).addOption(
    new Option('--amount <amount>', '$1.25, 1.25usd or 1250000micros')
      .argParser(amount)
      .default(FUND_MICROS_DEFAULT, formatUsd(FUND_MICROS_DEFAULT)),
  );
  onRun<{ amount: bigint; key?: string }>(world, withKey(command), async ({ connect, out }, _, options) => {
    const { key } = options;
    await out.record(plain(WalletSchema, await (await connect()).wallet.fund(options.amount, given({ key }))));
  });
}

function addList(payments: Command, world: World): void {
  const command = addCommand(payments, {
    usage: 'list',
    summary: 'payments and what became of them, newest first',
    examples: ['tally payments list', 'tally payments list --json'],
    isLocal: true,
  });
  onRun(world, command, async ({ io, out }) => {
    const intents = await fileIntents(paymentsFolder(io)).read();
    const shown = intents.toReversed().map((intent) => shownPayment(intent, io.nowMs()));
    await out.list('payments', shown, PAYMENT_COLUMNS);
  });
}

/** Without the authorization itself: whoever has it can have it carried out. */
function shownPayment(intent: PaymentIntent, nowMs: number): PlainObject {
  const { id, key, call, quote_id, network, asset, pay_to, label, from, tx, cause } = intent;
  const status = statusOf(intent, nowMs);
  const named = { id, status, amount_micros: Number(intent.amount_micros), label, call, key, quote_id };
  return { ...named, network, asset, pay_to, from, tx, cause, at: new Date(intent.at_ms).toISOString() };
}

function statusOf({ status, valid_before_s }: PaymentIntent, nowMs: number): string {
  const isDead = status === 'signed' && valid_before_s * MS_PER_S + CLOCK_MARGIN_MS < nowMs;
  return isDead ? 'lapsed' : status;
}

interface ApproveOptions {
  wallet?: string;
  passphraseFile?: string;
  yes?: boolean;
}

function addApprove(payments: Command, world: World): void {
  const command = addCommand(payments, {
    usage: 'approve',
    summary: 'allow a payment that was refused; its call goes through when it is repeated with the same key',
    examples: ['tally payments approve pay_0192…', 'tally payments approve pay_0192… --yes'],
    isLocal: true,
  })
    .addArgument(new Argument('<payment-id>', 'as the refusal named it: pay_…').argParser(told(paymentId)))
    .option('--yes', 'do not ask once more')
    .option('--wallet <file>', 'keystore file (default: the one that logged in)')
    .option('--passphrase-file <file>', 'read the passphrase from this private file');
  onRun<ApproveOptions>(world, command, approve);
}

function paymentId(text: string): string {
  if (/^pay_[0-9a-f]{32}$/.test(text)) return text;
  throw new UsageError(`${text} is no id of this kind.`, 'Write pay_ and 32 hex digits; see: tally payments list');
}

async function approve({ io, out }: Run, [id]: string[], options: ApproveOptions): Promise<number> {
  const intents = fileIntents(paymentsFolder(io), io.nowMs);
  const intent = (await intents.read()).find((one) => one.id === id);
  if (!intent) throw refuseHere('NOT_FOUND', { detail: `there is no payment ${id} here` });
  const isOpen = isOfferOpen(intent, io.nowMs());
  if (!options.yes && !(await isMeant(io, intent))) return out.note('nothing was allowed').then(() => 1);
  const file = await payingWallet(io, options.wallet);
  const { signer } = await openWallet(file, await readPassphrase(io, options.passphraseFile, false));
  const { holds, wasHeard } = await holdsAt(io, intent);
  const approved = await approvePayment(intents, intent.id, signer, { holds, nowMs: io.nowMs });
  await out.record(shownPayment(approved, io.nowMs()));
  if (!wasHeard() && !isSpent(intent) && approved.status === 'signed') await out.note(NOT_KNOWN);
  if (approved.status === 'signed')
    await out.note(
      `Repeat the call with the same key within ${timeLeft(approved, io.nowMs())}: ${printable(approved.key)}`,
    );
  if (!isOpen)
    await out.note('The offer is over: the repeated call gets a new one, and may take that up to this amount.');
  return 0;
}

/** Asked of the platform that asks for the payment, by whoever is logged in there: no other gets to see the key. */
async function holdsAt(io: Run['io'], { origin }: PaymentIntent): Promise<{ holds: Holds; wasHeard: () => boolean }> {
  const address = await findAddress(io).catch(() => undefined);
  const apiKey = address?.url === origin ? await findApiKey(io, address) : undefined;
  const ask = apiKey === undefined ? undefined : holdsOf({ baseUrl: origin, apiKey, fetch: io.fetch });
  let isKnown = false;
  const holds: Holds = async (wallet, option) => {
    const held = await ask?.(wallet, option);
    isKnown = held !== undefined;
    return held;
  };
  return { holds, wasHeard: () => isKnown };
}

/** Whole seconds that the payment can be used. */
const timeLeft = ({ valid_before_s }: PaymentIntent, nowMs: number): string =>
  formatDuration(BigInt(Math.max(0, valid_before_s - Math.ceil(nowMs / MS_PER_S)) * MS_PER_S));

/** @errors UsageError where nobody can be asked */
async function isMeant(io: Run['io'], { amount_micros, pay_to, network, call }: PaymentIntent): Promise<boolean> {
  if (!io.stdin.isTTY) throw new UsageError('Nobody can be asked.', 'Give --yes if it is meant.');
  return askYes(io, `Pay ${formatUsd(BigInt(amount_micros))} to ${pay_to} on ${network} for ${call}? [y/N] `);
}
