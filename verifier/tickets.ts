/**
 * RunTickets against the sales they name.
 * Promise: a ticket passes only when a lease key signed it, its receipt sold exactly that step, and no other ticket claims the sale.
 */
import {
  type DomainEvent,
  type Envelope,
  openEnvelope,
  type Receipt,
  RUN_TICKET_TYPE,
  type RunTicket,
  readRunTicket,
  receiptPlace,
} from '@tallystick/kernel';

/** Where the sale that a ticket names stands, as far as it is known. */
export interface SalePlace {
  pos?: number;
  stream?: string;
}

export interface TicketCheck {
  /** Remembers what the receipt sold. */
  sold(pos: number, receipt: Receipt, hash: string): void;
  /** Calls `say` for every problem of the ticket. */
  ticket(envelope: Envelope, say: (what: string, place: SalePlace) => void): void;
}

interface Sale {
  pos: number;
  atUs: bigint;
  stream: string;
  /** What the ticket must say; a member is absent when the receipt does not say it. */
  terms: Partial<RunTicket>;
  isTicketed: boolean;
}

const SOLD = 'MinuteSold';
const US_PER_MS = 1_000n;
/** Members of a ticket that its sale must have named. */
const TERMS = ['seq', 'starts_at_us', 'paid_until_us', 'duration_ms', 'price_micros'] as const;

export function createTicketCheck(leaseKeys: ReadonlyMap<string, Buffer>): TicketCheck {
  const sales = new Map<string, Sale>();
  /** Job and incarnation by stream: said once, when the sandbox was opened. */
  const lives = new Map<string, Partial<RunTicket>>();
  return {
    sold(pos, receipt, hash) {
      const event = receipt.events.find(({ type }) => type === SOLD);
      if (!event) return;
      const { stream, at_us } = receipt;
      const life = { ...lives.get(stream), ...pick(receipt.command.body, ['job', 'incarnation']) };
      lives.set(stream, life);
      sales.set(hash, { pos, atUs: BigInt(at_us), stream, terms: termsOf(event, stream, life), isTicketed: false });
    },
    ticket(envelope, say) {
      const ticket = open(envelope, leaseKeys);
      if (typeof ticket === 'string') return say(ticket, {});
      const sale = sales.get(ticket.receipt_hash);
      if (!sale) return say(`no receipt of this export sold minute ${ticket.seq} of ${ticket.sandbox}`, {});
      const { pos, stream } = sale;
      if (sale.isTicketed) say(`a second ticket for minute ${ticket.seq}`, { pos, stream });
      sale.isTicketed = true;
      for (const what of differences(ticket, sale)) say(what, { pos, stream });
    },
  };
}

/** A ticket counts minutes as steps sold so far, and a sale is never the last word: `final` is false. */
function termsOf({ body }: DomainEvent, stream: string, life: Partial<RunTicket>): Partial<RunTicket> {
  const terms = pick(body, TERMS);
  const sandbox = stream.slice(stream.indexOf(':') + 1);
  return { ...life, ...terms, sandbox, final: false, ...(terms.seq === undefined ? {} : { minutes: terms.seq }) };
}

function pick(body: DomainEvent['body'], members: readonly (keyof RunTicket)[]): Partial<RunTicket> {
  return Object.fromEntries(
    members.filter((member) => Object.hasOwn(body, member)).map((member) => [member, body[member]]),
  );
}

/** The ticket, or why there is none. */
function open(envelope: Envelope, leaseKeys: ReadonlyMap<string, Buffer>): RunTicket | string {
  const [signature, ...others] = envelope.signatures;
  if (!signature || others.length > 0) return `a ticket has one signature, this has ${envelope.signatures.length}`;
  const key = leaseKeys.get(signature.keyid);
  if (!key) return `the ticket is signed by the unknown key ${signature.keyid}`;
  const payload = openEnvelope(envelope, RUN_TICKET_TYPE, key);
  if (!payload) return 'the ticket is not signed by the lease key that it names';
  const ticket = readRunTicket(payload);
  return 'error' in ticket ? `the ticket is malformed: ${ticket.error}` : ticket;
}

function differences(ticket: RunTicket, { pos, atUs, terms }: Sale): string[] {
  const place = receiptPlace(ticket.receipt);
  const named = place?.pos === pos && place.atMs === Number(atUs / US_PER_MS);
  const wrong = named ? [] : [`the ticket names the receipt ${ticket.receipt}, its sale stands at position ${pos}`];
  for (const [member, sold] of Object.entries(terms)) {
    const said = ticket[member as keyof RunTicket];
    if (said !== sold) wrong.push(`the ticket's ${member} is ${said}, sold was ${sold}`);
  }
  return wrong;
}
