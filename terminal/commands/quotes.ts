/**
 * `tally top-up` and `tally quotes`: money from the wallet to the account, and what was offered to be paid for requests.
 * Promise: nothing is paid here; the connection's payer does, within the limits of this terminal.
 */
import { DepositSchema, plain, QuoteSchema } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import type { Column } from '../output/render.ts';
import { parseAmount } from '../text/amount.ts';
import { addCommand, given, idOf, onRun, type World, withKey } from './command.ts';

const QUOTE_COLUMNS: Column[] = [
  { field: 'id', heading: 'QUOTE' },
  { field: 'status', heading: 'STATUS' },
  { field: 'amount_micros', heading: 'AMOUNT' },
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
  onRun<{ key?: string }>(world, withKey(topUp), async ({ connect, out }, [text], { key }) => {
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
    await out.list('quotes', found, QUOTE_COLUMNS);
  });
  const get = addCommand(quotes, {
    usage: 'get',
    summary: 'one quote: its options, its payment, its transaction',
    examples: ['tally quotes get quo_5f1c…'],
  }).addArgument(new Argument('<quote-id>', 'id of the quote: quo_…').argParser(idOf('quo')));
  onRun(world, get, async ({ connect, out }, [id]) =>
    out.record(plain(QuoteSchema, await (await connect()).quotes.get(id!))),
  );
}
