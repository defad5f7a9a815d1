/**
 * What holds at the quiet end of every history of a treasury, asked of the chain and of the ledger.
 * Promise: nothing that the history itself counted is believed where one of the two can be asked.
 */
import assert from 'node:assert/strict';
import { isUnderWay } from '@tallystick/api/testing';
import { listStreams, PAGE_MAX } from '@tallystick/engine';
import type { SandboxState } from '@tallystick/hosting';
import {
  promisedAccount,
  reorgLossAccount,
  userAccount,
  withdrawalAccount,
  withdrawingAccount,
  withdrawnAccount,
} from '@tallystick/kernel';
import type { Person, TreasuryWorld } from '@tallystick/meter/testing';
import type { DepositState, QuoteState, WithdrawalState } from '@tallystick/treasury';
import type { Address, Hex } from 'viem';
import type { ChargedRequest } from './charged-requests.ts';

/** A wallet, and what it had at the beginning. */
export interface Purse {
  address: string;
  micros: bigint;
}

export interface Told {
  people: readonly Person[];
  purses: readonly Purse[];
  requests: readonly ChargedRequest[];
}

/** Everything of one kind that ever was. */
export async function allOf<State>({ engine }: TreasuryWorld, kind: string): Promise<State[]> {
  const rows = await listStreams(engine, { kind, limit: PAGE_MAX });
  assert.ok(rows.length < PAGE_MAX, `a history has fewer than ${PAGE_MAX} of the kind ${kind}`);
  return rows.map(({ state }) => state as unknown as State);
}

export async function assertLaws(world: TreasuryWorld, { people, purses, requests }: Told): Promise<void> {
  await assertReserves(world);
  const [deposits, quotes, withdrawals, machines] = [
    await allOf<DepositState>(world, 'deposit'),
    await allOf<QuoteState>(world, 'quote'),
    await allOf<WithdrawalState & { id?: string }>(world, 'withdrawal'),
    await allOf<SandboxState>(world, 'sandbox'),
  ];
  assertCreditedOnce(deposits);
  await assertTheyStand(world, deposits);
  await assertLosses(world, deposits);
  await assertPromises(world, quotes);
  assertQuotes(quotes, deposits);
  assertRunOnce(requests, machines);
  for (const person of people) await assertPerson(world, person, { deposits, withdrawals, machines });
  for (const purse of purses) await assertPurse(world, purse, { deposits, withdrawals });
}

async function assertReserves(world: TreasuryWorld): Promise<void> {
  const { chain, ledger } = await world.reserves();
  assert.deepEqual(ledger, chain, 'the ledger and the chain differ');
  assert.equal((await world.rail()).reserves!.is_equal, true);
}

/** What counts as held stands on the chain, in the block that the books name or in another. */
async function assertTheyStand({ chain }: TreasuryWorld, deposits: readonly DepositState[]): Promise<void> {
  for (const { id, status, tx, payee, ordinal } of deposits) {
    if (status !== 'credited' && status !== 'parked') continue;
    const there = await chain.transfersIn(tx as Hex, payee as Address);
    assert.ok(
      there.some((one) => String(one.ordinal) === ordinal),
      `${id} stands on the chain`,
    );
  }
}

/** Whichever transactions carried it, in whichever blocks: an authorization is one deposit. */
function assertCreditedOnce(deposits: readonly DepositState[]): void {
  const credited = deposits.filter((one) => isPaidOutAsItself(one) && one.authorization !== undefined);
  const names = credited.map(({ payer, authorization }) => `${payer}/${authorization}`);
  assert.equal(new Set(names).size, names.length, `credited twice: ${names.sort()}`);
}

const isPaidOutAsItself = ({ is_paid_out, paid_as }: DepositState): boolean => is_paid_out && paid_as === undefined;

/** What was paid out and is not on the chain, less what is there again, is what the platform has lost. */
async function assertLosses(world: TreasuryWorld, deposits: readonly DepositState[]): Promise<void> {
  const lost = sum(deposits.filter((one) => isPaidOutAsItself(one) && one.status === 'reversed').map(microsOf));
  const replaced = sum(deposits.filter((one) => one.paid_as !== undefined && one.status === 'credited').map(microsOf));
  assert.equal(await world.balance(reorgLossAccount(world.chain.key)), replaced - lost, 'what the chain took back');
}

/** No payer's money is promised any more. */
async function assertPromises(world: TreasuryWorld, quotes: readonly QuoteState[]): Promise<void> {
  const payers = new Set(quotes.flatMap(({ payment }) => (payment ? [payment.from] : [])));
  for (const payer of payers)
    assert.equal(await world.balance(promisedAccount(world.chain.key, payer)), 0n, `${payer} promises nothing more`);
}

function assertQuotes(quotes: readonly QuoteState[], deposits: readonly DepositState[]): void {
  for (const quote of quotes) {
    assert.ok(!isUnderWay(quote), `${quote.id} is still ${quote.status}`);
    if (quote.status !== 'paid') continue;
    const { principal, quote_id, is_paid_out } = deposits.find(({ id }) => id === quote.deposit_id)!;
    assert.deepEqual([principal, quote_id, is_paid_out], [quote.principal, quote.id, true], `${quote.id} is paid`);
  }
}

/** A machine bears the key of its request as its label. */
function assertRunOnce(requests: readonly ChargedRequest[], machines: readonly SandboxState[]): void {
  for (const { who, key, results, topUpMicros } of requests) {
    if (topUpMicros !== undefined) continue;
    const opened = machines.filter(({ label, owner }) => label === key && owner === who.principal);
    assert.ok(opened.length <= 1, `${key} opened ${opened.length} machines`);
    for (const result of results) assert.equal(opened[0]?.id, result, `${key} was answered with a machine`);
  }
}

const sum = (all: readonly bigint[]): bigint => all.reduce((total, one) => total + one, 0n);

/** Credited once for each deposit that was ever deep enough, paid once for each withdrawal that is final, charged for each machine. */
async function assertPerson(
  world: TreasuryWorld,
  { principal }: Person,
  all: { deposits: DepositState[]; withdrawals: (WithdrawalState & { id?: string })[]; machines: SandboxState[] },
): Promise<void> {
  const theirs = all.withdrawals.filter((one) => one.principal === principal);
  const arrived = sum(theirs.filter(({ status }) => status === 'final').map(microsOf));
  const credited = sum(
    all.deposits.filter((one) => isPaidOutAsItself(one) && one.principal === principal).map(microsOf),
  );
  const charges = all.machines.filter(({ owner }) => owner === principal);
  const spent = sum(charges.map((one) => BigInt(one.charged_micros) - BigInt(one.refunded_micros)));
  assert.equal(await world.balance(userAccount(principal)), credited - spent - arrived, 'credited once, paid once');
  assert.equal(await world.balance(withdrawnAccount(principal)), arrived);
  assert.equal(await world.balance(withdrawingAccount(principal)), 0n, 'nothing is on its way');
}

const microsOf = ({ amount_micros }: { amount_micros: string }): bigint => BigInt(amount_micros);

/** What left a wallet and stayed away is in the books once, and what was paid to it arrived. */
async function assertPurse(
  world: TreasuryWorld,
  { address, micros }: Purse,
  all: { deposits: DepositState[]; withdrawals: WithdrawalState[] },
): Promise<void> {
  const isThere = ({ status }: DepositState): boolean => status === 'credited' || status === 'parked';
  const gone = sum(all.deposits.filter((one) => one.payer === address.toLowerCase() && isThere(one)).map(microsOf));
  const paid = all.withdrawals.filter(({ status, to }) => status === 'final' && to === address.toLowerCase());
  const held = await world.chain.balanceOf(address as `0x${string}`);
  assert.equal(held, micros - gone + sum(paid.map(microsOf)), `on the chain, the wallet ${address}`);
}

/** Of a withdrawal that has ended nothing is held any more. */
export async function assertReleased(world: TreasuryWorld, ids: readonly string[]): Promise<void> {
  for (const id of ids) assert.equal(await world.balance(withdrawalAccount(id)), 0n, `${id} has ended`);
}
