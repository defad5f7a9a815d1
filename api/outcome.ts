/**
 * From what the engine answered to what a handler returns.
 * Promise: a rejection becomes the problem its code names, with its facts; nothing is swallowed.
 */
import { type Engine, type Outcome, readOutcomes } from '@tallystick/engine';
import type { Command, JsonObject } from '@tallystick/kernel';
import { type ErrorCodeName, isErrorCode } from '@tallystick/proto';
import { type Call, refuse } from '@tallystick/surface';

/** An accepted outcome; the answer is the one the decider gave. */
export interface Accepted {
  receiptId: string;
  replayed: boolean;
  atUs: bigint;
  answer: JsonObject;
}

const RETRY_AFTER_MS = 500;
/** What the engine itself answers, in the catalogue's words. */
const ENGINE_CODES: Record<string, ErrorCodeName> = { CONFLICT: 'IDEMPOTENCY_KEY_REUSED', LIMITED: 'QUEUE_FULL' };

/** Who asks, under which key: taken from the call as it arrived. */
export function commandFrom(call: Call, target: Pick<Command, 'stream' | 'type' | 'body'>): Command {
  const { id, keyId } = call.principal!;
  return { ...target, principal: id, grant: keyId, key: call.idempotencyKey, fingerprint: call.fingerprint };
}

/** Links of one key's chain: the first try and its repetitions after refusals for want of money. */
export const REPEATS_UNFUNDED_MAX = 64;

/**
 * Runs a command; a repetition of one that was refused for want of money is tried anew under the next link of its key,
 * so that it is carried out once there is money, and once only. No caller's key holds a space, so no other key is a link.
 */
async function executeFunded(engine: Engine, command: Command): Promise<Outcome> {
  let outcome = await engine.execute(command);
  for (let link = 1; isUnfundedRepeat(outcome) && link <= REPEATS_UNFUNDED_MAX; link += 1)
    outcome = await nextTry(engine, command, link);
  if (isUnfundedRepeat(outcome)) throw usedUp(outcome);
  return outcome;
}

/** No link of the key is left: nobody is asked to pay for what can never be carried out under it. */
export const usedUp = ({ rejection, facts = {} }: Outcome): Error =>
  refuse(
    rejection as ErrorCodeName,
    facts,
    `There was not enough money ${REPEATS_UNFUNDED_MAX} times under this Idempotency-Key: use a new key; what was paid is in the account.`,
  );

/** The command under one link of its key's chain, from 1. */
export const nextTry = (engine: Engine, command: Command, link: number): Promise<Outcome> =>
  engine.execute({ ...command, key: linkOf(command, link) });

const linkOf = ({ key }: Command, link: number): string => `${key} ${link}`;

/** One try of a key and what it came to; link 0 is the key itself. */
export interface Try {
  link: number;
  outcome: Outcome;
}

/** The newest of the tries that were made, after the first. */
export async function newestTry(engine: Engine, command: Command, first: Outcome): Promise<Try> {
  const links = Array.from({ length: REPEATS_UNFUNDED_MAX }, (_, i) => i + 1);
  const keys = links.map((link) => linkOf(command, link));
  const made = await readOutcomes(engine, command.principal, keys);
  const link = links.findLast((one) => made.has(linkOf(command, one)));
  return link === undefined ? { link: 0, outcome: first } : { link, outcome: made.get(linkOf(command, link))! };
}

/** Refusals that money undoes: the same key is tried again. */
const WANT_OF_MONEY: ReadonlySet<string | undefined> = new Set<ErrorCodeName>([
  'INSUFFICIENT_FUNDS',
  'SANDBOX_UNFUNDED',
]);

export const isUnfunded = ({ rejection }: Outcome): boolean => WANT_OF_MONEY.has(rejection);

const isUnfundedRepeat = (outcome: Outcome): boolean => outcome.replayed && isUnfunded(outcome);

/** @errors throws the refusal that the rejection names; Fault when the database could not be asked. */
export async function executeFor(engine: Engine, call: Call, command: Command): Promise<Accepted> {
  const outcome = await executeFunded(engine, command);
  if (outcome.replayed) call.setHeader('idempotent-replayed', 'true');
  return accepted(outcome);
}

export function accepted(outcome: Outcome): Accepted {
  if (outcome.rejection !== undefined) throw refuseAs(outcome.rejection, outcome.facts ?? {});
  const { receiptId, replayed, atUs } = outcome;
  return { receiptId, replayed, atUs, answer: (outcome.answer ?? {}) as JsonObject };
}

function refuseAs(rejection: string, facts: JsonObject): Error {
  if (rejection.startsWith('QUARANTINED')) return refuse('QUARANTINED', { cause: rejection });
  const code = ENGINE_CODES[rejection] ?? rejection;
  if (!isErrorCode(code)) throw new TypeError(`the rejection ${rejection} is not in the error catalogue`);
  if (code === 'QUEUE_FULL') return refuse(code, { retry_after_ms: RETRY_AFTER_MS });
  if (code === 'IDEMPOTENCY_KEY_REUSED') return refuse(code, conflictFacts(facts));
  return refuse(code, facts);
}

const conflictFacts = (facts: JsonObject): JsonObject => ({
  first_command: facts['first_type'] ?? '',
  first_receipt: facts['first_receipt'] ?? '',
});
