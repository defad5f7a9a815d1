/**
 * How every command is declared.
 * Promise: each has --json, --url where it talks to a platform, examples in its help, and one place that runs it.
 */

import { formatUsd, type Payment, type Tally } from '@tallystick/sdk';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { EXIT_CODES_HELP } from '../exit-code.ts';
import type { Io } from '../io.ts';
import { createOut, type Out } from '../output/out.ts';
import { printable } from '../output/render.ts';
import { type PayWish, payingOf } from '../payments/payer.ts';
import { connectSaved } from '../session.ts';
import { parseAmount } from '../text/amount.ts';
import { formatDuration, parseDuration } from '../text/duration.ts';
import { UsageError } from '../text/usage-error.ts';

/** What a running command has. */
export interface Run {
  io: Io;
  out: Out;
  /** The platform's address as given, if it was. */
  url: string | undefined;
  /** @errors UsageError without a login */
  connect(): Promise<Tally>;
}

/** The program's world and, after a run, its exit code. */
export interface World {
  io: Io;
  exitCode: number;
  isJson: boolean;
}

export interface Spec {
  /** As commander takes it: `get <job>`. */
  usage: string;
  summary: string;
  examples: string[];
  /** Stands in place of the common exit codes. */
  exitCodes?: string;
  /** Talks to no platform. */
  isLocal?: boolean;
}

/** Adds a command. */
export function addCommand(parent: Command, { usage, summary, examples, exitCodes, isLocal }: Spec): Command {
  const command = parent.command(usage).summary(summary).description(summary);
  command.option('--json', 'print one JSON value and nothing else on standard output');
  if (!isLocal)
    command.option(
      '--url <url>',
      'address of the platform (else TALLY_URL, the last login, or `npm start` in the clone)',
    );
  const lines = examples.map((example) => `  ${example}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${lines}\n${exitCodes ?? EXIT_CODES_HELP}`);
}

/** A command that changes something on the platform can be repeated under the same key. */
export const withKey = (command: Command): Command =>
  command.option('--key <key>', 'idempotency key; repeat with the same one to get the first answer (default: random)');

/** A change that may be answered with an offer to pay for it. */
export const withPayment = (command: Command): Command =>
  withKey(command)
    .addOption(
      new Option(
        '--pay <when>',
        'pay from the wallet when money is lacking (default: within `tally wallet limits`)',
      ).choices(['yes', 'no', 'ask']),
    )
    .option('--max-pay <amount>', 'pay up to this in one payment without asking', amount);

/** Runs `act` when the command is chosen; a number that it returns is the exit code, anything else means 0. */
export function onRun<O>(
  world: World,
  command: Command,
  act: (run: Run, operands: string[], options: O) => Promise<unknown>,
): void {
  command.action(async () => {
    const options = command.opts<O & { json?: boolean; url?: string } & PayWish>();
    const { io } = world;
    world.isJson = options.json === true;
    const out = createOut(io, world.isJson);
    const onPayment = (payment: Payment): void => void (world.isJson || out.note(paidText(payment)));
    const wish = { pay: options.pay, maxPay: options.maxPay };
    const paying = payingOf({ io, wish, canAsk: io.stdin.isTTY === true, onPayment });
    const run: Run = { io, out, url: options.url, connect: () => connectSaved(io, options.url, paying) };
    const code = await act(run, command.processedArgs.flat() as string[], options);
    world.exitCode = typeof code === 'number' ? code : 0;
  });
}

const paidText = ({ amountMicros, transaction, network }: Payment): string =>
  printable(
    `paid ${amountMicros === undefined ? '' : formatUsd(amountMicros)} from the wallet (${transaction} on ${network})`,
  );

/** Lets commander name the option or argument that was wrong. */
export function told<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (fault) {
      if (fault instanceof UsageError) throw new InvalidArgumentError(`${fault.message} ${fault.suggestion}`);
      throw fault;
    }
  };
}

export const amount = told(parseAmount);
export const duration = told(parseDuration);

/** A length of time within bounds, both in milliseconds. */
export const durationWithin = (min: bigint, max: bigint): ((text: string) => bigint) =>
  told((text) => {
    const value = parseDuration(text);
    if (value >= min && value <= max) return value;
    throw new UsageError(
      `${text} is out of range.`,
      `Write a time from ${formatDuration(min)} to ${formatDuration(max)}.`,
    );
  });

/** A whole number within bounds. */
export const count = (min: number, max: number): ((text: string) => number) =>
  told((text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text))
      throw new UsageError(`${text} is not a whole number.`, `Write one from ${min} to ${max}.`);
    if (value < min || value > max)
      throw new UsageError(`${text} is out of range.`, `Write a whole number from ${min} to ${max}.`);
    return value;
  });

/** An id of this kind. */
export const idOf = (
  prefix: 'job' | 'sbx' | 'snp' | 'dep' | 'quo' | 'wdr' | 'key' | 'exec',
): ((text: string) => string) =>
  told((text) => {
    if (new RegExp(`^${prefix}_[0-9a-f]{32}$`).test(text)) return text;
    throw new UsageError(`${text} is no id of this kind.`, `Write ${prefix}_ and 32 hex digits.`);
  });

/** The options that were given, without the absent ones. */
export function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
