/**
 * What a machine accepts: the RunTicket that says how long it is paid, the caller ticket that says who may use it.
 * Promise: a payload with a missing, unknown or ill-typed member is refused and the member named.
 */
import type { Json, JsonObject } from './json.ts';

export const RUN_TICKET_TYPE = 'application/vnd.tallystick.run-ticket+json';
export const CALLER_TICKET_TYPE = 'application/vnd.tallystick.caller-ticket+json';
export const TICKET_TEXT_CHARS_MAX = 256;
export const CALLER_TICKET_VERBS_MAX = 32;

/** A signed lease. Members that end in `_us` (microseconds since 1970) and `_micros` are decimal strings. */
export interface RunTicket {
  sandbox: string;
  /** Which life of the sandbox: a ticket for another one is refused. */
  incarnation: number;
  /** Grows strictly within an incarnation, from 1. */
  seq: number;
  minutes: number;
  starts_at_us: string;
  paid_until_us: string;
  duration_ms: number;
  price_micros: string;
  job: string;
  /** Receipt id of the sale. */
  receipt: string;
  /** Hex SHA-256 of the receipt's bytes. */
  receipt_hash: string;
  /** No further ticket will follow. */
  final: boolean;
}

/** Allows one caller some verbs on one sandbox until `exp_us`. */
export interface CallerTicket {
  /** Key of the warden that it is for. */
  aud: string;
  sandbox: string;
  incarnation: number;
  verbs: string[];
  exp_us: string;
  /** Makes it single. */
  jti: string;
}

type Check = (value: Json) => boolean;
type Shape<T> = { [member in keyof T]: Check };
export type TicketError = { error: string };

const isText: Check = (value) => typeof value === 'string' && value.length > 0 && value.length <= TICKET_TEXT_CHARS_MAX;
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isPositive: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 1;
const isDecimal: Check = (value) => typeof value === 'string' && /^(?:0|[1-9][0-9]{0,18})$/.test(value);
const isHash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const isVerbs: Check = (value) =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.length <= CALLER_TICKET_VERBS_MAX &&
  value.every(isText) &&
  new Set(value).size === value.length;

const RUN_TICKET: Shape<RunTicket> = {
  sandbox: isText,
  incarnation: isCount,
  seq: isPositive,
  minutes: isCount,
  starts_at_us: isDecimal,
  paid_until_us: isDecimal,
  duration_ms: isCount,
  price_micros: isDecimal,
  job: isText,
  receipt: isText,
  receipt_hash: isHash,
  final: isFlag,
};

const CALLER_TICKET: Shape<CallerTicket> = {
  aud: isText,
  sandbox: isText,
  incarnation: isCount,
  verbs: isVerbs,
  exp_us: isDecimal,
  jti: isText,
};

/** The ticket in an opened envelope; `error` names the first member that is wrong. */
export function readRunTicket(payload: JsonObject): RunTicket | TicketError {
  const error = misfit(payload, RUN_TICKET);
  if (error) return { error };
  const ticket = payload as unknown as RunTicket;
  if (BigInt(ticket.paid_until_us) < BigInt(ticket.starts_at_us))
    return { error: 'paid_until_us is before starts_at_us' };
  return ticket;
}

/** The ticket in an opened envelope; `error` names the first member that is wrong. */
export function readCallerTicket(payload: JsonObject): CallerTicket | TicketError {
  const error = misfit(payload, CALLER_TICKET);
  return error ? { error } : (payload as unknown as CallerTicket);
}

function misfit<T>(payload: JsonObject, shape: Shape<T>): string | undefined {
  for (const [member, check] of Object.entries<Check>(shape)) {
    if (!Object.hasOwn(payload, member)) return `${member} is missing`;
    if (!check(payload[member] as Json)) return `${member} is malformed`;
  }
  const unknown = Object.keys(payload).find((member) => !Object.hasOwn(shape, member));
  return unknown === undefined ? undefined : `${unknown} is unknown`;
}
