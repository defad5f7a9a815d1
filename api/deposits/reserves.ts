/**
 * Proof of reserves: what the ledger says that we hold on the chain, beside what the chain says.
 * Promise: both sides are read anew; what waits for confirmations is told apart, never smoothed over; money that moves while it is
 * counted is counted again.
 */
import { setTimeout } from 'node:timers/promises';
import {
  type Engine,
  Newcomers,
  PAGE_MAX,
  readBalances,
  readMoment,
  readStream,
  type StreamRow,
  streamsOfStatus,
} from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import { chainAccount, depositAccount, ownFundsAccount } from '@tallystick/kernel';
import {
  type DepositState,
  type RailState,
  RESERVE_PARTS,
  type ReservePart,
  railStream,
  reservesMoment,
  type WithdrawalState,
} from '@tallystick/treasury';
import { timestampFromUs } from '../view-parts.ts';
import type { Desk } from './desk.ts';

type Address = `0x${string}`;

/** What differs is read so often before it is told: a watcher is a moment behind the chain. */
const READS_MAX = 4;
const READ_AGAIN_MS = 250;

/** The answer's function rejects with ChainFault when the chain cannot be asked. @errors it throws what `deskOf` throws */
export function reservesReader(deskOf: () => Desk) {
  let funded: Funded | undefined;
  return async () => {
    const { engine, link } = deskOf();
    const chain = await link.chain();
    funded ??= fundedAddresses(engine, chain.key);
    let found = await readReserves(engine, chain, funded);
    for (let reads = 1; !found.isEqual && reads < READS_MAX; reads++) {
      await setTimeout(READ_AGAIN_MS);
      found = await readReserves(engine, chain, funded);
    }
    return found;
  };
}

async function readReserves(engine: Engine, chain: Chain, funded: Funded) {
  const { treasury, token } = chain.config;
  const head = await chain.head();
  const [pending, ledger, leaving, row] = [
    await pendingMicros(engine, chain.key),
    await ledgerMicros(engine, chain.key),
    await leavingMicros(engine, chain, head.number),
    await readStream(engine, railStream(chain.key)),
  ];
  const held: Record<ReservePart, bigint> = {
    treasury: await chain.balanceOf(treasury),
    forwarders: sum(await chain.balancesOf(await funded())),
  };
  const reserves = RESERVE_PARTS.map((part) => ({
    part,
    account: chainAccount(chain.key, part),
    ledgerMicros: ledger[part],
    chainMicros: held[part],
    pendingMicros: pending[part],
    leavingMicros: part === 'treasury' ? leaving : 0n,
  }));
  const isEqual = reserves.every((one) => one.ledgerMicros + one.pendingMicros - one.leavingMicros === one.chainMicros);
  const [own] = await readBalances(engine, [ownFundsAccount(chain.key)]);
  const ownMicros = own?.availableMicros ?? 0n;
  const figures = {
    network: `eip155:${chain.chainId}`,
    token,
    treasury,
    block: head.number,
    reserves,
    isEqual,
    ownMicros,
  };
  const lookedAtUs = await readMoment(engine, reservesMoment(chain.key));
  const looked = lookedAtUs === undefined ? {} : { lookedAt: timestampFromUs(lookedAtUs) };
  return { ...figures, ...looked, ...(row ? checkOf(row) : {}) };
}

/** What the meter recorded last. */
function checkOf({ state, receiptId }: StreamRow) {
  const { reserves, withdrawals_stopped: withdrawalsStopped = false } = state as unknown as RailState;
  if (!reserves) return { withdrawalsStopped };
  const lastCheck = {
    checkedAt: timestampFromUs(reserves.checked_at_us),
    block: BigInt(reserves.block),
    isEqual: reserves.is_equal,
    missingMicros: BigInt(reserves.missing_micros),
    since: timestampFromUs(reserves.since_us),
    receiptId,
  };
  return { withdrawalsStopped, lastCheck };
}

/** Withdrawals that the chain has taken and the ledger has not concluded. */
async function leavingMicros(engine: Engine, chain: Chain, newest: bigint): Promise<bigint> {
  const signed = await allOfStatus<WithdrawalState>(engine, 'withdrawal', 'signed');
  const ours = signed.filter(({ rail }) => rail === chain.key);
  const taken = await Promise.all(
    ours.map(async ({ broadcast, amount_micros }) => {
      const mined = await Promise.all(
        broadcast.attempts.map(({ hash }) => chain.receiptOf(hash as `0x${string}`, newest)),
      );
      return mined.some((one) => one?.succeeded) ? BigInt(amount_micros) : 0n;
    }),
  );
  return sum(taken);
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

type Funded = () => Promise<readonly Address[]>;

/** Deposit addresses at which something ever arrived: anybody may have as many others as they like. */
function fundedAddresses(engine: Engine, rail: string): Funded {
  const deposits = new Newcomers({ kind: 'deposit', filter: { rail, door: 'forwarders' } });
  const known = new Set<Address>();
  return async () => {
    for (const { state } of await deposits.ask(engine)) known.add((state as unknown as DepositState).payee as Address);
    return [...known];
  };
}

async function pendingMicros(engine: Engine, rail: string): Promise<Record<ReservePart, bigint>> {
  const waiting = (await allOfStatus<DepositState>(engine, 'deposit', 'seen')).filter((state) => state.rail === rail);
  const paidOut = await readBalances(
    engine,
    waiting.map(({ id }) => depositAccount(id)),
  );
  const markers = new Set(paidOut.map(({ account }) => account));
  const seen = waiting.filter(({ id }) => !markers.has(depositAccount(id)));
  const of = (part: ReservePart) =>
    sum(seen.filter(({ door }) => door === part).map(({ amount_micros }) => BigInt(amount_micros)));
  return { treasury: of('treasury'), forwarders: of('forwarders') };
}

async function ledgerMicros(engine: Engine, rail: string): Promise<Record<ReservePart, bigint>> {
  const rows = await readBalances(
    engine,
    RESERVE_PARTS.map((part) => chainAccount(rail, part)),
  );
  const of = (part: ReservePart): bigint => {
    const row = rows.find(({ account }) => account === chainAccount(rail, part));
    return row ? row.debitsPostedMicros - row.creditsPostedMicros : 0n;
  };
  return { treasury: of('treasury'), forwarders: of('forwarders') };
}
