/**
 * An address to which a principal may withdraw: asked for, proven by a signature, usable after a while.
 * Promise: an attempt on a challenge burns it whatever comes out; nobody withdraws to an address that did not sign for that account,
 * nor to one for which the account's own wallet did not sign: an API key alone adds none.
 */
import {
  type Command,
  checksumAddress,
  countIn,
  type Decider,
  type Decision,
  type DomainEvent,
  formatSiwe,
  type Json,
  type JsonObject,
  type Reads,
  type Rejection,
  type Seen,
  textIn,
  timeTextOf,
  timeUsIn,
  verifyPersonalSignature,
} from '@tallystick/kernel';
import { ownAddressReads, ownAddressRefusal } from './own-address.ts';
import { PAYOUT_POLICY } from './policy.ts';

/** A text that waits to be signed: by the address, and by the account's own wallet. */
export type PayoutChallenge = { nonce: string; message: string; expires_at_us: string };

export type PayoutState = {
  /** `asked`: never proven since; `proven`: usable from `usable_from_us` on. */
  status: '' | 'asked' | 'proven' | 'revoked';
  principal: string;
  rail: string;
  /** Lower case. */
  address: string;
  challenge: PayoutChallenge | null;
  /** `key`: a wallet of one key signed; `contract`: the chain said that a contract takes the signature. */
  proven_by: '' | 'key' | 'contract';
  /** How the account's own wallet signed. */
  allowed_by: '' | 'key' | 'contract';
  proven_at_us: string;
  usable_from_us: string;
};

const PREFIX = 'payout:';
const US_PER_MS = 1_000n;
const NOT_FOUND: Rejection = { rejection: 'NOT_FOUND' };

export const payoutStream = (principal: string, rail: string, address: string): string =>
  `${PREFIX}${principal}/${rail}/${address}`;

/** The address with which a principal logs in; it has proven itself there. Empty for whoever has none. */
export const ownAddressOf = (principal: string): string => principal.slice(principal.lastIndexOf(':') + 1);

export const payout: Decider<PayoutState> = {
  kind: 'payout',
  initial: {
    status: '',
    principal: '',
    rail: '',
    address: '',
    challenge: null,
    proven_by: '',
    allowed_by: '',
    proven_at_us: '0',
    usable_from_us: '0',
  },
  reads,
  decide(state, command, seen) {
    if (command.type === 'AskPayout') return ask(state, command, seen);
    if (state.principal === '' || command.principal !== state.principal) return NOT_FOUND;
    if (command.type === 'ProvePayout') return prove(state, command, seen);
    if (command.type === 'RevokePayout') return revoke(state, seen);
    throw new TypeError(`a payout address knows no command ${command.type}`);
  },
  evolve,
  owner: (state) => state.principal || null,
};

function reads({ type, body }: Command): Reads {
  return type === 'AskPayout' ? ownAddressReads(textIn(body, 'rail'), textIn(body, 'address')) : {};
}

/** The text is the platform's, whole: what is signed is what was asked, for this account and no other. */
function ask(state: PayoutState, { principal, stream, body }: Command, seen: Seen): Decision {
  const [rail, address] = [textIn(body, 'rail'), textIn(body, 'address')];
  if (stream !== payoutStream(principal, rail, address)) return NOT_FOUND;
  const refusal = ownAddressRefusal(seen, rail, address);
  if (refusal) return refusal;
  if (state.status === 'proven' || address === ownAddressOf(principal))
    return { rejection: 'ALREADY_EXISTS', facts: { id: address } };
  const expiresAtUs = timeUsIn(body, 'expires_at_us');
  const message = formatSiwe({
    domain: textIn(body, 'domain'),
    address: checksumAddress(address),
    statement: `Let withdrawals of the account ${principal} go to ${checksumAddress(address)}.`,
    uri: textIn(body, 'uri'),
    version: '1',
    chainId: countIn(body, 'chain_id'),
    nonce: textIn(body, 'nonce'),
    issuedAt: timeTextOf(seen.atUs),
    expirationTime: timeTextOf(expiresAtUs),
  });
  const challenge: PayoutChallenge = { nonce: textIn(body, 'nonce'), message, expires_at_us: String(expiresAtUs) };
  return {
    events: [{ type: 'PayoutAsked', body: { principal, rail, address, challenge } }],
    answer: { address, ...challenge },
  };
}

/**
 * `ProvePayout {message, signature, contract, owner_signature, owner_contract}`: both sign the one text; `contract` and
 * `owner_contract` are what the chain said of a signature that no key made.
 */
function prove(state: PayoutState, { body }: Command, seen: Seen): Decision {
  const { challenge } = state;
  if (challenge === null) return refusedFor('nothing was asked to be signed, or it was tried already');
  if (seen.atUs >= BigInt(challenge.expires_at_us)) return refusedFor('what was asked to be signed has expired');
  const proof = proofOf(state, challenge, body);
  if ('cause' in proof)
    return {
      events: [{ type: 'PayoutRefused', body: { cause: proof.cause } }],
      answer: { refused: 'PAYOUT_PROOF_REFUSED', facts: { cause: proof.cause } },
    };
  const usableFromUs = seen.atUs + BigInt(PAYOUT_POLICY.payout_address_delay_ms) * US_PER_MS;
  const proven = { ...proof, proven_at_us: String(seen.atUs), usable_from_us: String(usableFromUs) };
  const evidence = [
    ...(proof.proven_by === 'contract' ? [body['contract']!] : []),
    ...(proof.allowed_by === 'contract' ? [body['owner_contract']!] : []),
  ];
  return {
    events: [{ type: 'PayoutProven', body: proven }],
    answer: { address: state.address, ...proven },
    rule: 'payout_address_delay_ms',
    ...(evidence.length > 0 ? { evidence } : {}),
  };
}

const refusedFor = (cause: string): Rejection => ({ rejection: 'PAYOUT_PROOF_REFUSED', facts: { cause } });

type SignedBy = 'key' | 'contract';

function proofOf(
  { principal, address }: PayoutState,
  challenge: PayoutChallenge,
  body: JsonObject,
): { proven_by: SignedBy; allowed_by: SignedBy } | { cause: string } {
  if (textIn(body, 'message') !== challenge.message)
    return { cause: 'another text was signed than the one that was asked' };
  const proven_by = signedBy(challenge.message, address, textIn(body, 'signature'), body['contract']);
  if (!proven_by) return { cause: 'the signature is not of that address' };
  const owner = ownAddressOf(principal);
  const allowed_by = signedBy(challenge.message, owner, textIn(body, 'owner_signature'), body['owner_contract']);
  return allowed_by
    ? { proven_by, allowed_by }
    : { cause: `the owner's signature is not of ${owner}, which owns the account` };
}

function signedBy(message: string, address: string, signature: string, said: Json | undefined): SignedBy | undefined {
  if (verifyPersonalSignature(message, signature)?.toLowerCase() === address) return 'key';
  return (said as JsonObject | null)?.['holds'] === true ? 'contract' : undefined;
}

function revoke(state: PayoutState, seen: Seen): Decision {
  if (state.status !== 'proven') return NOT_FOUND;
  return {
    events: [{ type: 'PayoutRevoked', body: { revoked_at_us: String(seen.atUs) } }],
    answer: { address: state.address },
  };
}

function evolve(state: PayoutState, { type, body }: DomainEvent): PayoutState {
  if (type === 'PayoutAsked') return { ...state, ...(body as Partial<PayoutState>), status: 'asked' };
  if (type === 'PayoutRefused') return { ...state, challenge: null };
  if (type === 'PayoutProven')
    return { ...state, ...(body as Partial<PayoutState>), status: 'proven', challenge: null };
  if (type === 'PayoutRevoked')
    return { ...state, status: 'revoked', challenge: null, proven_by: '', allowed_by: '', usable_from_us: '0' };
  throw new TypeError(`a payout address knows no event ${type}`);
}

/** Whether it is usable now, or what is in the way. Its stream must be among the reads. */
export function payoutRefusal(seen: Seen, principal: string, rail: string, address: string): Rejection | undefined {
  if (address === ownAddressOf(principal)) return undefined;
  const { status, usable_from_us } = seen.state(payoutStream(principal, rail, address)) as PayoutState;
  if (status !== 'proven') return { rejection: 'PAYOUT_ADDRESS_UNKNOWN', facts: { address } };
  if (seen.atUs >= BigInt(usable_from_us)) return undefined;
  return {
    rejection: 'PAYOUT_ADDRESS_WAITING',
    facts: { address, usable_at: timeTextOf(BigInt(usable_from_us)) },
  };
}
