/**
 * Who may call the warden: a signed ticket in each request, checked offline.
 * Promise: no valid ticket for this warden, this sandbox and this verb, no answer but a refusal.
 */
import {
  CALLER_TICKET_TYPE,
  type CallerTicket,
  type Envelope,
  openEnvelope,
  readCallerTicket,
} from '@tallystick/kernel';
import { Fault } from './fault.ts';

export const CALLER_VERBS = [
  'create',
  'renew',
  'finish',
  'read',
  'exec',
  'put',
  'get',
  'release',
  'dial',
  'snapshot',
  'egress',
] as const;
export type CallerVerb = (typeof CALLER_VERBS)[number];

export const CALLER_TICKET_MS_MAX = 5 * 60_000;
/** A ticket is short; a longer header is not looked at. */
const HEADER_CHARS_MAX = 8_192;
const OPENED_KEPT_MAX = 256;
/** Any sandbox. Incarnation 0 in a ticket stands for any incarnation. */
const ANY = '*';

export interface Access {
  /** @errors throws Fault `bad_caller_ticket` or `forbidden`. */
  check(header: string | undefined, verb: CallerVerb, sandbox: string, incarnation: number | undefined): void;
}

const bad = (detail: string): Fault => new Fault('bad_caller_ticket', 'bad_caller_ticket', detail);
const forbidden = (detail: string): Fault => new Fault('forbidden', 'forbidden', detail);

function envelopeOf(header: string | undefined): Envelope {
  const [scheme, text] = (header ?? '').split(' ');
  if (scheme !== 'Tally' || !text || text.length > HEADER_CHARS_MAX) throw bad('needs Authorization: Tally <ticket>');
  try {
    return JSON.parse(Buffer.from(text, 'base64').toString()) as Envelope;
  } catch {
    throw bad('the ticket is not base64 of an envelope');
  }
}

function openTicket(header: string | undefined, callerKey: Uint8Array): CallerTicket {
  const payload = openEnvelope(envelopeOf(header), CALLER_TICKET_TYPE, callerKey);
  if (!payload) throw bad('the ticket is not signed by the key this machine was given');
  const ticket = readCallerTicket(payload);
  if ('error' in ticket) throw bad(ticket.error);
  return ticket;
}

/** `audience`: this warden's public key in base64. Opened tickets are remembered: a caller uses one for many requests. */
export function accessFor(callerKey: Uint8Array, audience: string, wallMs: () => number): Access {
  const opened = new Map<string, CallerTicket>();
  const remember = (header: string, ticket: CallerTicket): void => {
    if (opened.size >= OPENED_KEPT_MAX) opened.clear();
    opened.set(header, ticket);
  };
  return {
    check(header, verb, sandbox, incarnation) {
      const known = opened.get(header ?? '');
      const ticket = known ?? openTicket(header, callerKey);
      if (!known) remember(header as string, ticket);
      if (ticket.aud !== audience) throw forbidden('the ticket is for another machine');
      const leftMs = Number(BigInt(ticket.exp_us) / 1_000n) - wallMs();
      if (leftMs <= 0) throw bad('the ticket has expired');
      if (leftMs > CALLER_TICKET_MS_MAX) throw bad(`a ticket lasts at most ${CALLER_TICKET_MS_MAX} ms`);
      if (!ticket.verbs.includes(verb)) throw forbidden(`the ticket does not allow ${verb}`);
      if (ticket.sandbox !== ANY && ticket.sandbox !== sandbox) throw forbidden('the ticket is for another sandbox');
      if (ticket.incarnation !== 0 && incarnation !== undefined && ticket.incarnation !== incarnation) {
        throw forbidden('the ticket is for another incarnation');
      }
    },
  };
}
