/**
 * A login whose signature only a contract on a chain can judge: what is kept until it was asked.
 * Promise: the nonce is burnt by then; nothing but the same attempt may be made again, and it is granted once.
 */
import { type Command, type Decision, flagIn, type JsonObject, type Seen, sha256Hex, textIn } from '@tallystick/kernel';
import type { Challenge, LoginMethod } from './attempt.ts';

/** What a login granted; one key may be made of it. */
export type Grant = {
  principal: string;
  address: string;
  /** Absent in logins from before contracts could be asked: the address's own key signed. */
  method?: LoginMethod;
  key_id: string;
  key_hash: string;
  scopes: string[];
  label: string;
  key_expires_at_us: string;
};

/** What will be granted when the contract says that it signed. */
export type Claim = { grant: Grant; attempt: string };

/** Tells one attempt from another: a hash of what was signed and of the signature. */
export const attemptHash = (message: string, signature: string): string => sha256Hex(`${message}\n${signature}`);

/** The grant as its caller is told of it. */
export const granted = ({ principal, key_id, scopes, key_expires_at_us }: Grant): JsonObject => ({
  principal,
  key_id,
  scopes,
  key_expires_at_us,
});

export const refused = (code: string, facts: JsonObject): Extract<Decision, { events: unknown }> => ({
  events: [{ type: 'LoginRefused', body: { code, facts } }],
  answer: { refused: code, facts },
});

/**
 * `ConcludeLogin {key_id, holds, rail, block, block_hash}`: what the chain answered, as of which block; the last three are
 * empty where no chain of the message's id is connected.
 */
export function concludeLogin(
  { challenge, claim }: { challenge: Challenge | null; claim?: Claim },
  { principal, body }: Command,
  seen: Seen,
): Decision {
  if (principal !== 'platform') return { rejection: 'NOT_FOUND' };
  const isOpen = claim !== undefined && challenge !== null && seen.atUs < BigInt(challenge.expires_at_us);
  if (!isOpen || claim.grant.key_id !== textIn(body, 'key_id')) return { rejection: 'LOGIN_NONCE_REFUSED' };
  const [rail, block, block_hash] = [textIn(body, 'rail'), textIn(body, 'block'), textIn(body, 'block_hash')];
  const evidence = [{ method: 'contract', rail, block, block_hash }];
  if (!flagIn(body, 'holds')) return { ...refused('LOGIN_SIGNATURE_REFUSED', {}), evidence };
  return { events: [{ type: 'LoggedIn', body: claim.grant }], answer: granted(claim.grant), evidence };
}
