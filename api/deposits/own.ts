/**
 * Deposits that a caller has, and those that it sent before anybody knew its address.
 * Promise: what it sent itself is found by it alone, and by a bounded search; nothing here credits.
 */
import { type Engine, listStreams, type StreamRow, streamReader, streamsOfStatusWith } from '@tallystick/engine';
import { SUSPENSE } from '@tallystick/kernel';
import { refuse } from '@tallystick/surface';
import { type DepositState, depositIdOf, depositStream, mayClaim, ownAddressOf } from '@tallystick/treasury';
import type { Page } from '../page.ts';
import { connected, type Desk } from './desk.ts';

type Hash = `0x${string}`;

/** On their way to being parked, and parked. */
const NOBODYS = ['seen', 'parked'];
/** Transfers of the caller's in one transaction that are looked at: few bring more than one. */
const TRANSFERS_MAX = 1_000;
const ID = /^dep_/;

/** Newest first: the caller's own, and those from its address that nobody has. */
export async function listOwnDeposits(engine: Engine, principal: string, page: Page): Promise<StreamRow[]> {
  const filter = { principal: SUSPENSE, payer: ownAddressOf(principal) };
  const found = await Promise.all([
    listStreams(engine, { kind: 'deposit', owner: principal, ...page }),
    ...NOBODYS.map((status) => streamsOfStatusWith(engine, { kind: 'deposit', status, filter, ...page })),
  ]);
  // one that was claimed between two of these questions is there twice
  const each = new Map(found.flat().map((row) => [row.stream, row]));
  return [...each.values()].sort((a, b) => b.createdPos! - a.createdPos!).slice(0, page.limit);
}

/**
 * Which deposit is meant by its id or by the hash of its transaction: of several the first that is still parked.
 * @errors refuses a transaction that brought nothing of the caller's; ChainFault when the chain cannot be asked
 */
export async function depositMeant(desk: Desk | undefined, principal: string, named: string): Promise<string> {
  if (ID.test(named)) return named;
  const found = await broughtBy(connected(desk), principal, named.toLowerCase() as Hash);
  const meant = found.find(({ status }) => status === 'parked') ?? found[0];
  if (meant) return meant.id;
  throw refuse('NOT_FOUND', {}, `the transaction ${named} brought no deposit of yours that is known here`);
}

/** What a transaction brought to the treasury or to the caller's own address, as far as it is the caller's. */
async function broughtBy({ engine, link }: Desk, principal: string, tx: Hash): Promise<DepositState[]> {
  const chain = await link.chain();
  const own = chain.depositAddress(principal);
  const [toTreasury, toOwn] = await Promise.all([
    chain.transfersIn(tx, chain.config.treasury),
    chain.transfersIn(tx, own),
  ]);
  const sent = toTreasury.filter(({ payer }) => payer === ownAddressOf(principal));
  const read = streamReader(engine);
  const rows = await Promise.all(
    [...sent, ...toOwn]
      .slice(0, TRANSFERS_MAX)
      .map((transfer) => read(depositStream(depositIdOf(chain.key, transfer)))),
  );
  return rows
    .flatMap((row) => (row ? [row.state as unknown as DepositState] : []))
    .filter((state) => mayClaim(principal, state));
}
