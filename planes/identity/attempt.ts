/**
 * Checks a signed message against the challenge it answers.
 * Promise: the order of checks is malformed, nonce, address, domain and uri, chain, times, signature, scopes; a contract's signature is left open.
 */
import {
  ADMIN_SCOPE,
  type JsonObject,
  parseSiwe,
  type SiweMessage,
  timeMsOf,
  timeTextOf,
  USUAL_SCOPES,
  verifyPersonalSignature,
  WITHDRAW_SCOPE,
} from '@tallystick/kernel';

/** What the platform asked to be signed. */
export type Challenge = {
  nonce: string;
  /** Lower case. */
  address: string;
  domain: string;
  uri: string;
  chain_ids: number[];
  expires_at_us: string;
  /** Principals who may ask for the admin scope, of those that this address can become. */
  admins: string[];
};

/** What somebody sent as answer. */
export type Attempt = {
  message: string;
  signature: string;
  key_id: string;
  key_hash: string;
  /** Empty: the usual ones. */
  scopes: string[];
  label: string;
  key_ttl_ms: number;
  /** Whether a signature that is not the address's own may be one of a contract wallet; null: nothing was said of it. */
  contracts: boolean | null;
};

/** Whose signature it is: the address's own key, or, as its chain says, that of the contract at the address. */
export type LoginMethod = 'eoa' | 'contract';

export type Refused = { code: string; facts: JsonObject };
/** With the method `contract` the signature is still to be checked, by asking the chain. */
export type Proven = { principal: string; address: string; scopes: string[]; method?: LoginMethod };

/** How far the signer's clock may be ahead. */
export const CLOCK_SKEW_MS_MAX = 60_000;
const US_PER_MS = 1_000n;

/** Who proved themselves and what they get, or the first check that failed. */
export function checkAttempt(attempt: Attempt, challenge: Challenge, atUs: bigint): Proven | Refused {
  const message = parseSiwe(attempt.message);
  if ('error' in message) return { code: 'LOGIN_MESSAGE_MALFORMED', facts: { cause: message.error } };
  const refused = checkMessage(message, challenge) ?? checkTimes(message, atUs);
  if (refused) return refused;
  const isOwn = verifyPersonalSignature(attempt.message, attempt.signature) === message.address;
  if (!isOwn && !attempt.contracts) return { code: 'LOGIN_SIGNATURE_REFUSED', facts: {} };
  const address = message.address.toLowerCase();
  const principal = `eip155:${message.chainId}:${address}`;
  const scopes = scopesFor(attempt.scopes, challenge.admins.includes(principal));
  if (!Array.isArray(scopes)) return scopes;
  const method = isOwn ? 'eoa' : 'contract';
  return { principal, address, scopes, ...(attempt.contracts === null ? {} : { method }) };
}

/** Those of admins and of money that leaves are never given unasked, so that an ordinary key cannot do what only its owner may. */
function scopesFor(asked: string[], isAdmin: boolean): string[] | Refused {
  const known = [...USUAL_SCOPES, WITHDRAW_SCOPE, ADMIN_SCOPE];
  if (asked.some((scope) => !known.includes(scope))) return { code: 'INVALID_REQUEST', facts: {} };
  if (asked.includes(ADMIN_SCOPE) && !isAdmin) return { code: 'LOGIN_SCOPE_REFUSED', facts: { scope: ADMIN_SCOPE } };
  return asked.length === 0 ? [...USUAL_SCOPES] : known.filter((scope) => asked.includes(scope));
}

function checkMessage(message: SiweMessage, challenge: Challenge): Refused | undefined {
  if (message.nonce !== challenge.nonce) return { code: 'LOGIN_NONCE_REFUSED', facts: {} };
  if (message.address.toLowerCase() !== challenge.address) return { code: 'LOGIN_ADDRESS_REFUSED', facts: {} };
  const isSchemeRight = message.scheme === undefined || challenge.uri.startsWith(`${message.scheme}://`);
  if (message.domain !== challenge.domain || !isSchemeRight)
    return { code: 'LOGIN_DOMAIN_REFUSED', facts: { domain: message.domain, expected: challenge.domain } };
  if (message.uri !== challenge.uri)
    return { code: 'LOGIN_DOMAIN_REFUSED', facts: { domain: message.uri, expected: challenge.uri } };
  if (!challenge.chain_ids.includes(message.chainId))
    return { code: 'LOGIN_CHAIN_REFUSED', facts: { chain_id: message.chainId, accepted: challenge.chain_ids } };
  return undefined;
}

function checkTimes({ issuedAt, expirationTime, notBefore }: SiweMessage, atUs: bigint): Refused | undefined {
  const nowMs = Number(atUs / US_PER_MS);
  const isEarly = (text: string | undefined, skewMs: number): boolean =>
    text !== undefined && timeMsOf(text)! > nowMs + skewMs;
  const isOver = expirationTime !== undefined && timeMsOf(expirationTime)! <= nowMs;
  if (!isEarly(issuedAt, CLOCK_SKEW_MS_MAX) && !isEarly(notBefore, 0) && !isOver) return undefined;
  const facts = {
    issued_at: issuedAt,
    expires_at: expirationTime ?? null,
    not_before: notBefore ?? null,
    now: timeTextOf(atUs),
  };
  return { code: 'LOGIN_TIME_REFUSED', facts };
}
