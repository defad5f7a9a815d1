/**
 * `tally top-up` and `tally quotes`: money from the wallet to the account, and what was offered to be paid for requests.
 * Promise: nothing is paid here; the connection's payer does, within the limits of this terminal.
 */
import { DepositSchema, plain, QuoteSchema } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { type Column, cellText, type PlainObject } from '../output/render.ts';
import { parseAmount } from '../text/amount.ts';
import { addCommand, given, idOf, onRun, type World, withPayment } from './command.ts';

const QUOTE_COLUMNS: Column[] = [
  { field: 'id', heading: 'QUOTE' },
  { field: 'status', heading: 'STATUS' },
  { field: 'amount', heading: 'AMOUNT' },
  { field: 'payer', heading: 'FROM' },
  { field: 'tx', heading: 'TRANSACTION' },
  { field: 'idempotency_key', heading: 'KEY' },
];

export function addQuoteCommands(program: Command, world: World): void {
  const topUp = addCommand(program, {
    usage: 'top-up',
    summary: 'bring dollars from the wallet to the account, at least so many',
    examples: ["tally top-up '$1'", 'tally top-up 250000micros --key monday'],
  }).argument('<amount>', '$1.25, 1.25usd or 1250000micros');
  onRun<{ key?: string }>(world, withPayment(topUp), async ({ connect, out }, [text], { key }) => {
    const amountMicros = parseAmount(text!);
    await out.record(plain(DepositSchema, await (await connect()).topUp(amountMicros, given({ key }))));
  });
  const quotes = program.command('quotes').summary('what was offered to be paid for requests');
  const list = addCommand(quotes, {
    usage: 'list',
    summary: 'quotes, newest first',
    examples: ['tally quotes list', 'tally quotes list --json'],
  });
  onRun(world, list, async ({ connect, out }) => {
    const found = await Array.fromAsync((await connect()).quotes.list(), (one) => plain(QuoteSchema, one));
    await out.list('quotes', out.isJson ? found : found.map(rowOf), QUOTE_COLUMNS);
  });
  const get = addCommand(quotes, {
    usage: 'get',
    summary: 'one quote: its options, its payment, its transaction',
    examples: ['tally quotes get quo_5f1c…'],
  }).addArgument(new Argument('<quote-id>', 'id of the quote: quo_…').argParser(idOf('quo')));
  onRun(world, get, async ({ connect, out }, [id]) => {
    const found = plain(QuoteSchema, await (await connect()).quotes.get(id!));
    await out.record(out.isJson ? found : recordOf(found));
  });
}

const optionsOf = ({ options }: PlainObject): PlainObject[] => options as PlainObject[];
const hasPayment = (quote: PlainObject): boolean => Number(quote['amount_micros']) > 0;

/** What is paid or on its way, and before that what is asked, from the smallest to the largest. */
function rowOf(quote: PlainObject): PlainObject {
  if (hasPayment(quote)) return { ...quote, amount: cellText('amount_micros', quote['amount_micros']) };
  const [first, last] = [optionsOf(quote).at(0), optionsOf(quote).at(-1)].map((option) =>
    cellText('amount_micros', option?.['amount_micros']),
  );
  return { ...quote, amount: first === last ? `asks ${first}` : `asks ${first} to ${last}` };
}

/** Each option with what it is enough for. */
function recordOf(quote: PlainObject): PlainObject {
  const options = optionsOf(quote).map(
    (option) => `${cellText('amount_micros', option['amount_micros'])} (${option['label']})`,
  );
  return { ...quote, options, ...(hasPayment(quote) ? {} : { amount_micros: null }) };
}
