/**
 * Signed leases beside the receipts of their sales.
 * Promise: kept before they are delivered, so an export never lacks a ticket that a machine obeyed.
 */
import type { Envelope } from '@tallystick/kernel';
import type { Engine } from './commit/engine.ts';
import { grouped } from './grouped.ts';
import { STATEMENTS } from './statements.ts';

/** Tickets written together at most. */
const TOGETHER_MAX = 256;

export interface KeptTicket {
  sandbox: string;
  seq: number;
  /** Position of the receipt of the sale. */
  pos: number;
  envelope: Envelope;
}

export type KeepTicket = (ticket: KeptTicket) => Promise<void>;

/** Only the meter's role may; keeping the same one again changes nothing. What is kept at once is written together. */
export const ticketKeeper = (engine: Engine): KeepTicket =>
  grouped((tickets: readonly KeptTicket[]) => keepTickets(engine, tickets), TOGETHER_MAX);

async function keepTickets(engine: Engine, tickets: readonly KeptTicket[]): Promise<undefined[]> {
  await engine.query(STATEMENTS.keepTickets, [
    engine.shard,
    tickets.map(({ sandbox }) => sandbox),
    tickets.map(({ seq }) => seq),
    tickets.map(({ pos }) => pos),
    tickets.map(({ envelope }) => JSON.stringify(envelope)),
  ]);
  return tickets.map(() => undefined);
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
