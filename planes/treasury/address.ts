/**
 * Whose deposits an address of ours receives.
 * Promise: an address is given to one principal, for ever.
 */
import { type Command, type Decider, type Decision, textIn } from '@tallystick/kernel';

export type AddressState = {
  /** `assigned`, or empty before. */
  status: string;
  rail: string;
  address: string;
  principal: string;
};

export const addressStream = (rail: string, address: string): string => `address:${rail}/${address}`;

export const address: Decider<AddressState> = {
  kind: 'address',
  initial: { status: '', rail: '', address: '', principal: '' },
  reads: () => ({}),
  decide(state, command) {
    if (command.type !== 'AssignAddress') throw new TypeError(`an address knows no command ${command.type}`);
    return command.principal === 'platform' ? assign(state, command) : { rejection: 'NOT_FOUND' };
  },
  evolve: (_state, { body }) => ({
    status: 'assigned',
    rail: textIn(body, 'rail'),
    address: textIn(body, 'address'),
    principal: textIn(body, 'principal'),
  }),
  owner: (state) => state.principal || null,
};

function assign(state: AddressState, { stream, body }: Command): Decision {
  const [rail, where, principal] = [textIn(body, 'rail'), textIn(body, 'address'), textIn(body, 'principal')];
  if (stream !== addressStream(rail, where))
    throw new TypeError(`${where} of ${rail} is not what ${stream} stands for`);
  const answer = { address: where, rail, principal };
  if (state.principal === principal) return { rejection: 'NOTHING_TO_CHANGE' };
  if (state.principal !== '') return { rejection: 'ALREADY_EXISTS', facts: { id: where } };
  return { events: [{ type: 'AddressAssigned', body: answer }], answer };
}
