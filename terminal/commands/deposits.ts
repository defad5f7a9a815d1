/**
 * `tally deposits` and `tally reserves`: money that arrives on a chain, and what the platform holds there.
 * Promise: the figures of the chain and of the ledger stand side by side.
 */
import {
  ChainDepositSchema,
  DepositAddressSchema,
  DepositSchema,
  formatUsd,
  plain,
  ReserveCheckSchema,
  ReserveSchema,
  type Reserves,
  ReservesSchema,
} from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import type { Column, PlainObject } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, given, onRun, told, type World, withKey } from './command.ts';

const DEPOSIT_COLUMNS: Column[] = [
  { field: 'id', heading: 'DEPOSIT' },
  { field: 'status', heading: 'STATUS' },
  { field: 'amount_micros', heading: 'AMOUNT' },
  { field: 'confirmations', heading: 'CONFIRMATIONS' },
  { field: 'payer', heading: 'FROM' },
  { field: 'tx', heading: 'TRANSACTION' },
];

const RESERVE_COLUMNS: Column[] = [
  { field: 'part', heading: 'PART' },
  { field: 'ledger_micros', heading: 'LEDGER' },
  { field: 'pending_micros', heading: 'PENDING' },
  { field: 'leaving_micros', heading: 'LEAVING' },
  { field: 'chain_micros', heading: 'CHAIN' },
];

export function addDepositCommands(program: Command, world: World): void {
  const deposits = program.command('deposits').summary('money that arrives on a chain');
  addAddress(deposits, world);
  addList(deposits, world);
  addClaim(deposits, world);
  addReserves(program, world);
}

function addAddress(deposits: Command, world: World): void {
  const command = addCommand(deposits, {
    usage: 'address',
    summary: 'where to send dollars; what arrives there is yours, whoever sends it',
    examples: ['tally deposits address'],
  });
  onRun(world, command, async ({ connect, out }) =>
    out.record(plain(DepositAddressSchema, await (await connect()).deposits.address())),
  );
}

function addList(deposits: Command, world: World): void {
  const command = addCommand(deposits, {
    usage: 'list',
    summary: 'deposits, newest first, with those that wait for confirmations or to be claimed',
    examples: ['tally deposits list', 'tally deposits list --json'],
  });
  onRun(world, command, async ({ connect, out }) => {
    const found = await Array.fromAsync((await connect()).deposits.list(), (one) => plain(ChainDepositSchema, one));
    await out.list('deposits', out.isJson ? found : found.map(withDepth), DEPOSIT_COLUMNS);
    const parked = found.find(({ status }) => status === 'parked');
    if (parked && !out.isJson)
      await out.note(
        `parked: sent by this wallet before it had an account; yours with: tally deposits claim ${parked['id']}`,
      );
  });
}

/** While it waits: how many blocks stand on it, of how many. */
const withDepth = (deposit: PlainObject): PlainObject =>
  deposit['status'] === 'seen'
    ? { ...deposit, confirmations: `${deposit['confirmations'] ?? '?'} of ${deposit['confirmations_needed']}` }
    : deposit;

function addClaim(deposits: Command, world: World): void {
  const command = addCommand(deposits, {
    usage: 'claim',
    summary: 'take a deposit that you sent before the platform knew your address',
    examples: ['tally deposits claim dep_0192…', 'tally deposits claim 0x5af1…'],
  }).addArgument(
    new Argument('<deposit>', 'id of the deposit (dep_…), or hash of the transaction that brought it').argParser(named),
  );
  onRun<{ key?: string }>(world, withKey(command), async ({ connect, out }, [id], { key }) =>
    out.record(plain(DepositSchema, await (await connect()).deposits.claim(id!, given({ key })))),
  );
}

const named = told((text: string): string => {
  if (/^(dep_[0-9a-f]{32}|0x[0-9a-fA-F]{64})$/.test(text)) return text;
  throw new UsageError(
    `${text} is neither the id of a deposit nor the hash of a transaction.`,
    'Write dep_ and 32 hex digits, or 0x and 64.',
  );
});

function addReserves(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'reserves',
    summary: 'what the platform holds on its chain, beside what its ledger says',
    examples: ['tally reserves', 'tally reserves --json'],
  });
  onRun(world, command, async ({ connect, out }) => {
    const found = await (await connect()).deposits.reserves();
    if (out.isJson) return out.record(plain(ReservesSchema, found));
    await out.list(
      'reserves',
      found.reserves.map((one) => plain(ReserveSchema, one)),
      RESERVE_COLUMNS,
    );
    return out.note(reservesText(found));
  });
}

/** Agreement now, when the platform itself looked last, and what it recorded. */
function reservesText(found: Reserves): string {
  const { isEqual, withdrawalsStopped, ownMicros } = found;
  const now = isEqual ? 'ledger and chain agree' : 'LEDGER AND CHAIN DIFFER';
  const own = ownMicros > 0n ? `; ${formatUsd(ownMicros)} of it is the platform’s own` : '';
  return `${now}${own}${lookedText(found)}${withdrawalsStopped ? '; WITHDRAWALS ARE STOPPED' : ''}`;
}

function lookedText(found: Reserves): string {
  const { looked_at } = plain(ReservesSchema, found);
  const looked = looked_at ? `; the platform itself looked last ${String(looked_at)}` : '';
  const { lastCheck } = found;
  if (!lastCheck) return looked;
  const { checked_at, since } = plain(ReserveCheckSchema, lastCheck);
  const missing = lastCheck.missingMicros > 0n ? `${formatUsd(lastCheck.missingMicros)} missing` : 'nothing missing';
  return `${looked}; on record since ${String(since)}: ${missing} (recorded ${String(checked_at)}: at each change, and once an hour)`;
}
