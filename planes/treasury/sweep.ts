/**
 * Gathering what stands at depositors' addresses into the treasury, one batch after another.
 * Promise: a chain has one batch under way at most, so no address is swept by two; nobody's money moves, only ours.
 */
import {
  type Command,
  type Decider,
  type Decision,
  type DomainEvent,
  microsIn,
  type Seen,
  textIn,
  textsIn,
} from '@tallystick/kernel';
import {
  BROADCAST_TOPIC,
  type Broadcast,
  broadcastReads,
  decideBroadcast,
  evolveBroadcast,
  isBroadcastCommand,
  isBroadcastEvent,
  NO_BROADCAST,
} from './broadcast.ts';

/** Addresses in one batch. */
export const SWEEP_ADDRESSES_MAX = 50;

/** `planned`: waits to be signed; `signed`: may be mined at any time; `final`; `failed`: given up, or nothing was moved, or not by it. */
export type SweepStatus = '' | 'planned' | 'signed' | 'final' | 'failed';

export type SweepState = {
  status: SweepStatus;
  rail: string;
  /** Batches of a chain are counted from 1. */
  number: string;
  /** Lower case; what the factory makes each of stands at the same place in `salts`. */
  addresses: string[];
  salts: string[];
  /** What stood there when it was planned. */
  micros: string;
  broadcast: Broadcast;
};

export const sweepStream = (rail: string, number: string): string => `sweep:${rail}/${number}`;

const INITIAL: SweepState = {
  status: '',
  rail: '',
  number: '',
  addresses: [],
  salts: [],
  micros: '0',
  broadcast: NO_BROADCAST,
};

export const sweep: Decider<SweepState> = {
  kind: 'sweep',
  initial: INITIAL,
  reads: (command) => {
    if (isBroadcastCommand(command)) return broadcastReads(command);
    if (command.type === 'DropSweep') return {};
    const [rail, number] = [textIn(command.body, 'rail'), textIn(command.body, 'number')];
    return number === '1' ? {} : { streams: [sweepStream(rail, previous(number))] };
  },
  decide(state, command, seen) {
    if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
    if (command.type === 'PlanSweep') return plan(state, command, seen);
    if (command.type === 'DropSweep') return drop(state, command);
    if (!isBroadcastCommand(command)) throw new TypeError(`a sweep knows no command ${command.type}`);
    if (state.status === '') return { rejection: 'NOT_FOUND' };
    if (isOver(state) && command.type === 'SignTransaction') return { rejection: 'NOTHING_TO_CHANGE' };
    return decideBroadcast(state.broadcast, command, seen);
  },
  evolve,
  owner: () => null,
};

const isOver = ({ status }: SweepState): boolean => status === 'final' || status === 'failed';
const previous = (number: string): string => String(BigInt(number) - 1n);

function evolve(state: SweepState, event: DomainEvent): SweepState {
  if (isBroadcastEvent(event)) {
    const broadcast = evolveBroadcast(state.broadcast, event);
    return { ...state, broadcast, status: broadcast.phase === 'none' ? 'planned' : broadcast.phase };
  }
  if (event.type === 'SweepDropped') return { ...state, status: 'failed' };
  return { ...INITIAL, ...(event.body as Partial<SweepState>), status: 'planned' };
}

/** `PlanSweep {rail, number, addresses, salts, micros}`. @errors throws TypeError for a batch that is none */
function plan(state: SweepState, { stream, body }: Command, seen: Seen): Decision {
  const [rail, number] = [textIn(body, 'rail'), textIn(body, 'number')];
  const [addresses, salts] = [textsIn(body, 'addresses'), textsIn(body, 'salts')];
  if (stream !== sweepStream(rail, number)) throw new TypeError(`batch ${number} of ${rail} is not ${stream}`);
  if (addresses.length === 0 || addresses.length > SWEEP_ADDRESSES_MAX || salts.length !== addresses.length)
    throw new TypeError(`${addresses.length} addresses and ${salts.length} salts make no batch`);
  const micros = microsIn(body, 'micros');
  if (state.status !== '') return { rejection: 'ALREADY_EXISTS', facts: { id: stream } };
  if (!isNext(rail, number, seen)) return { rejection: 'SWEEP_UNDER_WAY', facts: { id: stream } };
  if (micros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(micros) } };
  return {
    events: [{ type: 'SweepPlanned', body: { rail, number, addresses, salts, micros: String(micros) } }],
    outbox: [{ topic: BROADCAST_TOPIC, body: { stream } }],
  };
}

/** The batch before it was and is over. */
function isNext(rail: string, number: string, seen: Seen): boolean {
  if (number === '1') return true;
  return isOver(seen.state(sweepStream(rail, previous(number))) as SweepState);
}

/** `DropSweep {cause}`: the contract would undo the batch and nothing of it is signed, so that another may take its place. */
function drop(state: SweepState, { body }: Command): Decision {
  if (state.status === '') return { rejection: 'NOT_FOUND' };
  if (state.status !== 'planned') return { rejection: 'NOTHING_TO_CHANGE' };
  return { events: [{ type: 'SweepDropped', body: { cause: textIn(body, 'cause') } }] };
}
