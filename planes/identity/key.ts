/**
 * An API key: minted from one login, limited in scope and time, revocable.
 * Promise: only the hash of its secret is ever known here.
 */
import {
  type Command,
  type Decider,
  type Decision,
  type DomainEvent,
  type Seen,
  textIn,
  textsIn,
} from '@tallystick/kernel';
import type { LoginState } from './login.ts';

export type KeyState = {
  principal: string;
  /** Hex SHA-256 of the secret; empty while the key does not exist. */
  hash: string;
  scopes: string[];
  label: string;
  created_at_us: string;
  expires_at_us: string;
  revoked_at_us: string | null;
};

const PREFIX = 'key:';

export const key: Decider<KeyState> = {
  kind: 'key',
  initial: {
    principal: '',
    hash: '',
    scopes: [],
    label: '',
    created_at_us: '0',
    expires_at_us: '0',
    revoked_at_us: null,
  },
  reads: (command) => (command.type === 'MintKey' ? { streams: [loginOf(command)] } : {}),
  decide(state, command, seen) {
    if (command.type === 'MintKey') return mintKey(state, command, seen);
    if (command.type === 'RevokeKey') return revokeKey(state, command, seen);
    throw new TypeError(`a key knows no command ${command.type}`);
  },
  evolve,
  owner: (state) => state.principal || null,
};

/** Whether the key exists, is not revoked and has not expired. */
export const isKeyUsable = (state: KeyState, atUs: bigint): boolean =>
  state.hash !== '' && state.revoked_at_us === null && atUs < BigInt(state.expires_at_us);

const loginOf = (command: Command): string => `login:${textIn(command.body, 'nonce')}`;
const keyIdOf = (command: Command): string => command.stream.slice(PREFIX.length);

function mintKey(state: KeyState, command: Command, seen: Seen): Decision {
  if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
  if (state.hash !== '') return { rejection: 'ALREADY_EXISTS', facts: { id: keyIdOf(command) } };
  const { grant } = seen.state(loginOf(command)) as LoginState;
  if (grant === null || grant.key_id !== keyIdOf(command)) return { rejection: 'NOT_FOUND' };
  const { principal, scopes, label } = grant;
  const minted: KeyState = {
    principal,
    hash: grant.key_hash,
    scopes,
    label,
    created_at_us: String(seen.atUs),
    expires_at_us: grant.key_expires_at_us,
    revoked_at_us: null,
  };
  return { events: [{ type: 'KeyMinted', body: minted }], answer: { key: minted } };
}

function revokeKey(state: KeyState, command: Command, seen: Seen): Decision {
  if (state.hash === '' || command.principal !== state.principal) return { rejection: 'NOT_FOUND' };
  if (state.revoked_at_us !== null) return { rejection: 'NOTHING_TO_CHANGE' };
  const revokedAtUs = String(seen.atUs);
  return {
    events: [{ type: 'KeyRevoked', body: { revoked_at_us: revokedAtUs } }],
    answer: { key: { ...state, revoked_at_us: revokedAtUs } },
  };
}

function evolve(state: KeyState, { type, body }: DomainEvent): KeyState {
  if (type === 'KeyRevoked') return { ...state, revoked_at_us: textIn(body, 'revoked_at_us') };
  if (type === 'KeyMinted') return { ...(body as KeyState), scopes: textsIn(body, 'scopes') };
  throw new TypeError(`a key knows no event ${type}`);
}
