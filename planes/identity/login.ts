/**
 * One login with a wallet: a nonce is issued, one attempt is made, the nonce is burnt; a contract's signature is judged after that.
 * Promise: an attempt on an issued nonce burns it whatever comes out, and the outcome can be computed again by anyone.
 */
import {
  type Command,
  countIn,
  countsIn,
  type Decider,
  type Decision,
  type DomainEvent,
  flagIn,
  type JsonObject,
  optionalIn,
  type Seen,
  textIn,
  textsIn,
  timeUsIn,
} from '@tallystick/kernel';
import { type Attempt, type Challenge, checkAttempt } from './attempt.ts';
import { attemptHash, type Claim, concludeLogin, type Grant, granted, refused } from './claim.ts';

export type { Grant } from './claim.ts';

export type LoginState = {
  /** `claimed`: the attempt was made, and a contract is to be asked. */
  status: '' | 'issued' | 'claimed' | 'refused' | 'granted';
  challenge: Challenge | null;
  grant: Grant | null;
  /** While it is `claimed`. */
  claim?: Claim;
};

export const KEY_TTL_MS_MAX = 31_536_000_000;
const PREFIX = 'login:';
const US_PER_MS = 1_000n;
const HASH = /^[0-9a-f]{64}$/;

export const login: Decider<LoginState> = {
  kind: 'login',
  initial: { status: '', challenge: null, grant: null },
  reads: () => ({}),
  decide(state, command, seen) {
    if (command.type === 'IssueNonce') return issueNonce(state, command);
    if (command.type === 'VerifyLogin') return verifyLogin(state, command, seen);
    if (command.type === 'ConcludeLogin') return concludeLogin(state, command, seen);
    throw new TypeError(`a login knows no command ${command.type}`);
  },
  evolve,
  owner: (state) => state.grant?.principal ?? null,
};

const nonceOf = (command: Command): string => command.stream.slice(PREFIX.length);

function issueNonce(state: LoginState, command: Command): Decision {
  if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
  if (state.status !== '') return { rejection: 'ALREADY_EXISTS', facts: { id: nonceOf(command) } };
  const { body } = command;
  const challenge: Challenge = {
    nonce: nonceOf(command),
    address: textIn(body, 'address').toLowerCase(),
    domain: textIn(body, 'domain'),
    uri: textIn(body, 'uri'),
    chain_ids: countsIn(body, 'chain_ids'),
    expires_at_us: String(timeUsIn(body, 'expires_at_us')),
    admins: optionalIn(body, 'admins', textsIn) ?? [],
  };
  return { events: [{ type: 'NonceIssued', body: challenge }], answer: { ...challenge } };
}

function verifyLogin(state: LoginState, command: Command, seen: Seen): Decision {
  const attempt = attemptIn(command.body);
  const { challenge } = state;
  const isOpen = mayAttempt(state, attempt) && challenge !== null && seen.atUs < BigInt(challenge.expires_at_us);
  if (!isOpen) return { rejection: 'LOGIN_NONCE_REFUSED' };
  const outcome = checkAttempt(attempt, challenge, seen.atUs);
  if ('code' in outcome) return refused(outcome.code, outcome.facts);
  const keyExpiresAtUs = seen.atUs + BigInt(attempt.key_ttl_ms) * US_PER_MS;
  const { key_id, key_hash, label } = attempt;
  const grant: Grant = { ...outcome, key_id, key_hash, label, key_expires_at_us: String(keyExpiresAtUs) };
  if (grant.method !== 'contract') return { events: [{ type: 'LoggedIn', body: grant }], answer: granted(grant) };
  const claim: Claim = { grant, attempt: attemptHash(attempt.message, attempt.signature) };
  return { events: [{ type: 'LoginClaimed', body: claim }], answer: { claimed: grant.key_id } };
}

/** Whoever heard nothing of a claim, the chain being away, may repeat it; another signature is another attempt. */
const mayAttempt = ({ status, claim }: LoginState, { message, signature }: Attempt): boolean =>
  status === 'issued' || (status === 'claimed' && claim?.attempt === attemptHash(message, signature));

/** @errors throws TypeError for a body that the caller should have refused; only a hash of the secret may be here */
function attemptIn(body: JsonObject): Attempt {
  const attempt: Attempt = {
    message: textIn(body, 'message'),
    signature: textIn(body, 'signature'),
    key_id: textIn(body, 'key_id'),
    key_hash: textIn(body, 'key_hash'),
    scopes: textsIn(body, 'scopes'),
    label: textIn(body, 'label'),
    key_ttl_ms: countIn(body, 'key_ttl_ms'),
    contracts: optionalIn(body, 'contracts', flagIn),
  };
  if (!HASH.test(attempt.key_hash)) throw new TypeError('key_hash must be a hex SHA-256');
  if (attempt.key_ttl_ms > KEY_TTL_MS_MAX) throw new TypeError(`key_ttl_ms must be at most ${KEY_TTL_MS_MAX}`);
  return attempt;
}

function evolve({ claim: _over, ...state }: LoginState, event: DomainEvent): LoginState {
  if (event.type === 'NonceIssued') return { ...state, status: 'issued', challenge: event.body as Challenge };
  if (event.type === 'LoginClaimed') return { ...state, status: 'claimed', claim: event.body as Claim };
  if (event.type === 'LoggedIn') return { ...state, status: 'granted', grant: event.body as Grant };
  if (event.type === 'LoginRefused') return { ...state, status: 'refused' };
  throw new TypeError(`a login knows no event ${event.type}`);
}
