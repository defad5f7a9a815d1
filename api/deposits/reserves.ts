/**
 * Proof of reserves: what the ledger says that we hold on the chain, beside what the chain says.
 * Promise: both sides are read anew; what waits for confirmations is told apart, never smoothed over.
 */
import { type Engine, PAGE_MAX, readBalances, streamsOfStatus } from '@tallystick/engine';
import { chainAccount, depositAccount } from '@tallystick/kernel';
import type { AddressState, DepositState } from '@tallystick/treasury';
import type { Desk } from './desk.ts';

const PARTS = ['treasury', 'forwarders'] as const;
type Part = (typeof PARTS)[number];

/** @errors rejects with ChainFault when the chain cannot be asked */
export async function readReserves({ engine, link }: Desk) {
  const chain = await link.chain();
  const { treasury, token } = chain.config;
  const [head, forwarders, pending, ledger] = [
    await chain.head(),
    await assignedAddresses(engine, chain.key),
    await pendingMicros(engine, chain.key),
    await ledgerMicros(engine, chain.key),
  ];
  const held: Record<Part, bigint> = {
    treasury: await chain.balanceOf(treasury),
    forwarders: sum(await Promise.all(forwarders.map((address) => chain.balanceOf(address)))),
  };
  const reserves = PARTS.map((part) => ({
    part,
    account: chainAccount(chain.key, part),
    ledgerMicros: ledger[part],
    chainMicros: held[part],
    pendingMicros: pending[part],
  }));
  const isEqual = reserves.every((one) => one.ledgerMicros + one.pendingMicros === one.chainMicros);
  return { network: `eip155:${chain.chainId}`, token, treasury, block: head.number, reserves, isEqual };
}

const sum = (amounts: readonly bigint[]): bigint => amounts.reduce((total, one) => total + one, 0n);

async function allOfStatus<S>(engine: Engine, kind: string, status: string): Promise<S[]> {
  const found: S[] = [];
  for (let after: number | undefined; ; ) {
    const from = after === undefined ? {} : { after };
    const page = await streamsOfStatus(engine, { kind, status, limit: PAGE_MAX, ...from });
    found.push(...page.map(({ state }) => state as unknown as S));
    after = page.at(-1)?.createdPos;
    if (page.length < PAGE_MAX || after === undefined) return found;
  }
}

async function assignedAddresses(engine: Engine, rail: string): Promise<`0x${string}`[]> {
  const assigned = await allOfStatus<AddressState>(engine, 'address', 'assigned');
  return assigned.filter((state) => state.rail === rail).map(({ address }) => address as `0x${string}`);
}

async function pendingMicros(engine: Engine, rail: string): Promise<Record<Part, bigint>> {
  const waiting = (await allOfStatus<DepositState>(engine, 'deposit', 'seen')).filter((state) => state.rail === rail);
  const paidOut = await readBalances(
    engine,
    waiting.map(({ id }) => depositAccount(id)),
  );
  const markers = new Set(paidOut.map(({ account }) => account));
  const seen = waiting.filter(({ id }) => !markers.has(depositAccount(id)));
  const of = (part: Part) =>
    sum(seen.filter(({ door }) => door === part).map(({ amount_micros }) => BigInt(amount_micros)));
  return { treasury: of('treasury'), forwarders: of('forwarders') };
}

async function ledgerMicros(engine: Engine, rail: string): Promise<Record<Part, bigint>> {
  const rows = await readBalances(
    engine,
    PARTS.map((part) => chainAccount(rail, part)),
  );
  const of = (part: Part): bigint => {
    const row = rows.find(({ account }) => account === chainAccount(rail, part));
    return row ? row.debitsPostedMicros - row.creditsPostedMicros : 0n;
  };
  return { treasury: of('treasury'), forwarders: of('forwarders') };
}
