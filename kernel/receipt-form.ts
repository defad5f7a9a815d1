/**
 * From a command and its decision to the receipt, and back.
 * Promise: one author for the receipt's form; the engine writes what the verifier expects.
 */
import { jcs } from './canonical.ts';
import { type Command, type Decision, isRejection, type NewAccount, type Posting } from './decider.ts';
import { sha256Hex } from './hashes.ts';
import type { JsonObject } from './json.ts';
import { RECEIPT_SCHEMA, RECEIPT_TYPE, type Receipt, type ReceiptPosting } from './receipt.ts';

/** A rejection with this prefix is the database's, not the rule's: the code of the refused write follows. */
export const QUARANTINE_PREFIX = 'QUARANTINED_';

/** What the decision alone says of the receipt. */
export interface Effects {
  rejection: string | null;
  facts: JsonObject | null;
  events: Receipt['events'];
  accounts: Receipt['accounts'];
  postings: ReceiptPosting[];
  evidence: Receipt['evidence'];
  rule: string;
}

/** Everything of a receipt that is not the decision. */
export interface ReceiptPlace {
  issuer: string;
  command: Command;
  seq: number;
  prev: string;
  /** Of the state after the decision. */
  owner: string | null;
  seen: Receipt['seen'];
  from: number;
  stateHash: string;
  policyHash: string;
  atUs: bigint;
  /** 16 random bytes in hex. */
  salt: string;
}

/** Names a command in its receipt: `<principal>/<key>`. */
export const commandIdOf = ({ principal, key }: Pick<Command, 'principal' | 'key'>): string => `${principal}/${key}`;

/** Hex SHA-256 of the request as the caller made it, or of the command's own meaning. */
export const fingerprintOf = ({ fingerprint, stream, type, body }: Command): string =>
  fingerprint ?? sha256Hex(jcs({ stream, type, body }));

export function effectsOf(decision: Decision): Effects {
  if (isRejection(decision)) {
    const { rejection, facts } = decision;
    return { rejection, facts: facts ?? null, events: [], accounts: [], postings: [], evidence: [], rule: '' };
  }
  return {
    rejection: null,
    facts: null,
    events: decision.events.map(({ type, body }) => ({ type, body })),
    accounts: (decision.opens ?? []).map(({ account, asset, noOverdraft }) => ({
      account,
      asset,
      no_overdraft: noOverdraft,
    })),
    postings: (decision.postings ?? []).map(writePosting),
    evidence: decision.evidence ?? [],
    rule: decision.rule ?? '',
  };
}

export function receiptOf(decision: Decision, place: ReceiptPlace): Receipt {
  const { rejection, facts, rule, ...effects } = effectsOf(decision);
  const { command, issuer, seq, prev, owner, seen, from, stateHash, policyHash, atUs, salt } = place;
  const { stream, principal, grant = '', type, body } = command;
  return {
    type: RECEIPT_TYPE,
    schema: RECEIPT_SCHEMA,
    issuer,
    stream,
    seq,
    prev,
    owner,
    command: { id: commandIdOf(command), actor: principal, grant, type, body, hash: fingerprintOf(command) },
    seen,
    decision: { from, to: from + effects.events.length, state_hash: stateHash, rejection, facts },
    ...effects,
    policy: { hash: policyHash, rule },
    at_us: String(atUs),
    salt,
  };
}

/** The command as the decider saw it, but for the timer that fired it. */
export function commandOf({ stream, command }: Receipt): Command {
  const { id, actor, grant, type, body, hash } = command;
  return { principal: actor, key: id.slice(actor.length + 1), stream, type, body, fingerprint: hash, grant };
}

export function postingsOf(receipt: Receipt): Posting[] {
  return receipt.postings.map((posting) => ({
    kind: posting.kind,
    asset: posting.asset,
    debit: posting.debit,
    credit: posting.credit,
    amountMicros: BigInt(posting.amount_micros),
    ...(posting.hold === null ? {} : { hold: posting.hold }),
    ...(posting.expires_us === null ? {} : { expiresUs: BigInt(posting.expires_us) }),
  }));
}

export const opensOf = (receipt: Receipt): NewAccount[] =>
  receipt.accounts.map(({ account, asset, no_overdraft }) => ({ account, asset, noOverdraft: no_overdraft }));

const writePosting = ({ kind, asset, debit, credit, amountMicros, hold, expiresUs }: Posting): ReceiptPosting => ({
  kind: kind ?? 'posted',
  asset,
  debit,
  credit,
  amount_micros: String(amountMicros),
  hold: hold ? { pos: hold.pos, ord: hold.ord } : null,
  expires_us: expiresUs === undefined ? null : String(expiresUs),
});
