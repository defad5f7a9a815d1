/**
 * The platform's own accounts: what the world deposits, what grants and takes permissions, what providers earn.
 * Promise: each is opened once; asking again opens only what is new.
 */
import {
  CAP_ISSUER,
  CAP_SPENT,
  type Command,
  type Decider,
  type Decision,
  type DomainEvent,
  type NewAccount,
  providerAccount,
  SLOT_ISSUER,
  SLOT_RUNNING,
  textsIn,
  WORLD_DEPOSITS,
} from '@tallystick/kernel';

export type LedgerState = { is_open: boolean; providers: string[] };

const PLATFORM_ACCOUNTS: readonly NewAccount[] = [
  { account: WORLD_DEPOSITS, asset: 'usd', noOverdraft: false },
  { account: CAP_ISSUER, asset: 'cap', noOverdraft: false },
  { account: CAP_SPENT, asset: 'cap', noOverdraft: true },
  { account: SLOT_ISSUER, asset: 'slot', noOverdraft: false },
  { account: SLOT_RUNNING, asset: 'slot', noOverdraft: true },
];

export const ledger: Decider<LedgerState> = {
  kind: 'ledger',
  initial: { is_open: false, providers: [] },
  reads: () => ({}),
  decide,
  evolve: (state, event) => ({
    is_open: true,
    providers: [...state.providers, ...textsIn(event.body, 'providers')],
  }),
  owner: () => null,
};

function decide(state: LedgerState, command: Command): Decision {
  if (command.type !== 'OpenLedger') throw new TypeError(`the ledger knows no command ${command.type}`);
  if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
  const asked = new Set(textsIn(command.body, 'providers'));
  const providers = [...asked].filter((provider) => !state.providers.includes(provider));
  if (state.is_open && providers.length === 0) return { rejection: 'NOTHING_TO_CHANGE' };
  const event: DomainEvent = { type: 'LedgerOpened', body: { providers } };
  return { events: [event], opens: [...(state.is_open ? [] : PLATFORM_ACCOUNTS), ...providers.map(openedFor)] };
}

const openedFor = (provider: string): NewAccount => ({
  account: providerAccount(provider),
  asset: 'usd',
  noOverdraft: true,
});
