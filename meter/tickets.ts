/**
 * Turns a committed sale into the signed lease that a machine accepts.
 * Promise: a ticket names the receipt of its sale, so none exists without money; signing twice gives the same bytes.
 */
import type { Delivery } from '@tallystick/engine';
import {
  type Envelope,
  type JsonObject,
  RUN_TICKET_TYPE,
  type RunTicket,
  readRunTicket,
  type SigningKey,
  signEnvelope,
} from '@tallystick/kernel';

/** @errors throws when the sale's fields do not make a ticket: a bug of the rule that sold. */
export function signSale(key: SigningKey, { body, receipt }: Delivery): { ticket: RunTicket; envelope: Envelope } {
  const sold = body['ticket'] as JsonObject;
  const ticket = readRunTicket({ ...sold, receipt: receipt.id, receipt_hash: receipt.hash });
  if ('error' in ticket) throw new Error(`the sale ${receipt.id} does not make a ticket: ${ticket.error}`);
  return { ticket, envelope: signEnvelope(RUN_TICKET_TYPE, { ...ticket }, key) };
}
