/**
 * Whether sandboxes may be opened and kept at a provider: the platform's switch for all of its machines at once.
 * Promise: only the platform turns it; drained opens nothing new, killed sells no further step either.
 */
import {
  type Command,
  type Decider,
  type Decision,
  type DomainEvent,
  providerAccount,
  type Rejection,
  type Seen,
  textIn,
} from '@tallystick/kernel';

export type ProviderStatus = 'open' | 'drained' | 'killed';

export type ProviderState = {
  /** Empty while nothing was ever changed. */
  provider: string;
  status: ProviderStatus;
  /** Why it is not open; empty while it is. */
  reason: string;
  version: number;
  changed_at_us: string;
};

const PREFIX = 'provider:';

const NO_PROVIDER: ProviderState = { provider: '', status: 'open', reason: '', version: 0, changed_at_us: '0' };

/** What each command makes of it. */
const STATUS_BY_COMMAND: Record<string, ProviderStatus> = {
  DrainProvider: 'drained',
  ResumeProvider: 'open',
  KillProvider: 'killed',
};

export const provider: Decider<ProviderState> = {
  kind: 'provider',
  initial: NO_PROVIDER,
  reads: (command) => ({ accounts: [providerAccount(nameOf(command))] }),
  decide,
  evolve,
  owner: () => null,
};

/** The stream of a provider's switch. */
export const providerStream = (name: string): string => `${PREFIX}${name}`;

const nameOf = (command: Command): string => command.stream.slice(PREFIX.length);

/** A provider without an account in the ledger does not exist. */
function decide(state: ProviderState, command: Command, seen: Seen): Decision {
  const status = STATUS_BY_COMMAND[command.type];
  if (!status) throw new TypeError(`a provider knows no command ${command.type}`);
  const name = nameOf(command);
  if (command.principal !== 'platform' || seen.availableMicros(providerAccount(name)) === undefined)
    return { rejection: 'NOT_FOUND' };
  if (status === state.status) return { rejection: 'NOTHING_TO_CHANGE' };
  const event: DomainEvent = {
    type: 'ProviderSwitched',
    body: {
      provider: name,
      status,
      by: textIn(command.body, 'by'),
      because: textIn(command.body, 'reason'),
      at_us: String(seen.atUs),
    },
  };
  return { events: [event], answer: { provider: evolve(state, event) } };
}

function evolve(state: ProviderState, { type, body }: DomainEvent): ProviderState {
  if (type !== 'ProviderSwitched') throw new TypeError(`a provider knows no event ${type}`);
  const status = textIn(body, 'status') as ProviderStatus;
  return {
    provider: textIn(body, 'provider'),
    status,
    reason: status === 'open' ? '' : textIn(body, 'because'),
    version: state.version + 1,
    changed_at_us: textIn(body, 'at_us'),
  };
}

/** What is decided at a provider; its switch must be among the reads. */
export const providerIn = (seen: Seen, name: string): ProviderState =>
  seen.state(providerStream(name)) as ProviderState;

/** Undefined when sandboxes may be opened there. */
export const closedFor = ({ provider: name, status, reason }: ProviderState): Rejection | undefined =>
  status === 'open' ? undefined : { rejection: 'PROVIDER_CLOSED', facts: { provider: name, status, reason } };
