/**
 * A key of ours that signs transactions, and from which nonce on it is ours to count.
 * Promise: it moves forward only; nonces below where it stands are the chain's past.
 */
import { type Command, type Decider, type Decision, textIn } from '@tallystick/kernel';

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
  reads: () => ({}),
  decide(state, command) {
    if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
    if (command.type === 'OpenSigner') return open(state, command);
    if (command.type === 'MoveSigner') return move(state, command);
    throw new TypeError(`a signer knows no command ${command.type}`);
  },
  evolve: (state, { body }) => ({ ...state, ...(body as Partial<SignerState>), status: 'open' }),
  owner: () => null,
};

function open(state: SignerState, { stream, body }: Command): Decision {
  const [rail, address, from_nonce] = [textIn(body, 'rail'), textIn(body, 'address'), textIn(body, 'from_nonce')];
  if (stream !== signerStream(rail, address))
    throw new TypeError(`${address} of ${rail} is not what ${stream} stands for`);
  if (state.status !== '') return { rejection: 'NOTHING_TO_CHANGE' };
  return { events: [{ type: 'SignerOpened', body: { rail, address, from_nonce } }] };
}

/** The key was used elsewhere: what the chain has taken is past. */
function move(state: SignerState, { body }: Command): Decision {
  const from_nonce = textIn(body, 'from_nonce');
  if (state.status === '') return { rejection: 'NOT_FOUND' };
  if (BigInt(from_nonce) <= BigInt(state.from_nonce)) return { rejection: 'NOTHING_TO_CHANGE' };
  return { events: [{ type: 'SignerMoved', body: { from_nonce } }] };
}
