/**
 * A key of ours that signs transactions, and from which nonce on it is ours to count.
 * Promise: it moves forward only; nonces below where it stands are the chain's past; the treasury's moves only behind a proof that no
 * money left by what it skips.
 */
import {
  type Command,
  type Decider,
  type Decision,
  type JsonObject,
  type Rejection,
  type Seen,
  textIn,
} from '@tallystick/kernel';
import { type RailState, railStream } from './rail.ts';

export type SignerState = {
  /** `open`, or empty before. */
  status: string;
  rail: string;
  /** Lower case. */
  address: string;
  /** The first nonce that the log knows of. */
  from_nonce: string;
};

export const signerStream = (rail: string, address: string): string => `signer:${rail}/${address}`;

export const signer: Decider<SignerState> = {
  kind: 'signer',
  initial: { status: '', rail: '', address: '', from_nonce: '0' },
  reads: ({ body }) => ({ streams: [railStream(textIn(body, 'rail'))] }),
  decide(state, command, seen) {
    if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
    if (command.type === 'OpenSigner') return open(state, command, seen);
    if (command.type === 'MoveSigner') return move(state, command, seen);
    throw new TypeError(`a signer knows no command ${command.type}`);
  },
  evolve: (state, { body }) => ({ ...state, ...(body as Partial<SignerState>), status: 'open' }),
  owner: () => null,
};

/** `OpenSigner {rail, address, from_nonce, block}`: as for a move; what the chain has taken before is none of ours. */
function open(state: SignerState, { stream, body }: Command, seen: Seen): Decision {
  const [rail, address, from_nonce] = [textIn(body, 'rail'), textIn(body, 'address'), textIn(body, 'from_nonce')];
  if (stream !== signerStream(rail, address))
    throw new TypeError(`${address} of ${rail} is not what ${stream} stands for`);
  if (state.status !== '') return { rejection: 'NOTHING_TO_CHANGE' };
  if (BigInt(from_nonce) > 0n && !isProven(address, body, seen)) return unproven(from_nonce);
  return { events: [{ type: 'SignerOpened', body: { rail, address, from_nonce } }] };
}

/**
 * `MoveSigner {rail, from_nonce, block}`: the key was used elsewhere, and all below `from_nonce` was taken by that block. Used by the
 * treasury's key and not in the log may be a withdrawal that the log has forgotten: nothing is missing, or it stays where it is.
 */
function move(state: SignerState, { body }: Command, seen: Seen): Decision {
  const [rail, from_nonce] = [textIn(body, 'rail'), textIn(body, 'from_nonce')];
  if (state.status === '' || rail !== state.rail) return { rejection: 'NOT_FOUND' };
  if (BigInt(from_nonce) <= BigInt(state.from_nonce)) return { rejection: 'NOTHING_TO_CHANGE' };
  if (!isProven(state.address, body, seen)) return unproven(from_nonce);
  return { events: [{ type: 'SignerMoved', body: { from_nonce } }] };
}

/** All money was there at the command's block or later, or it is not the treasury's key. */
function isProven(address: string, body: JsonObject, seen: Seen): boolean {
  const { treasury, reserves } = seen.state(railStream(textIn(body, 'rail'))) as RailState;
  if (treasury !== address) return true;
  return reserves?.is_equal === true && BigInt(reserves.block) >= BigInt(textIn(body, 'block'));
}

const unproven = (nonce: string): Rejection => ({ rejection: 'NONCE_TAKEN', facts: { nonce } });
