/**
 * Signed leases beside the receipts of their sales.
 * Promise: kept before they are delivered, so an export never lacks a ticket that a machine obeyed.
 */
import type { Envelope } from '@tallystick/kernel';
import type { Engine } from './commit/engine.ts';
import { STATEMENTS } from './statements.ts';

export interface KeptTicket {
  sandbox: string;
  seq: number;
  /** Position of the receipt of the sale. */
  pos: number;
  envelope: Envelope;
}

/** Only the meter's role may; keeping the same one again changes nothing. */
export async function keepTicket(engine: Engine, { sandbox, seq, pos, envelope }: KeptTicket): Promise<void> {
  await engine.query(STATEMENTS.keepTicket, [engine.shard, sandbox, seq, pos, JSON.stringify(envelope)]);
}

/** Tickets by the position of their receipt. */
export async function readTickets(engine: Engine, positions: readonly number[]): Promise<Map<number, Envelope[]>> {
  const rows = await engine.query<{ pos: bigint; envelope: string }>(STATEMENTS.ticketsOfReceipts, [
    engine.shard,
    positions,
  ]);
  const tickets = new Map<number, Envelope[]>();
  for (const { pos, envelope } of rows) {
    const of = tickets.get(Number(pos)) ?? [];
    tickets.set(Number(pos), [...of, JSON.parse(envelope) as Envelope]);
  }
  return tickets;
}
