/**
 * A chain as the ledger knows it: what of its money is ours, and how far its blocks were looked through.
 * Promise: an asset account moves only for what was seen on the chain, or for what a person says of a difference that was found; a sweep
 * is recorded once.
 */
import {
  type Command,
  chainAccount,
  type Decider,
  type Decision,
  depositAccount,
  microsIn,
  reorgLossAccount,
  type Seen,
  textIn,
} from '@tallystick/kernel';
import { decideOwnFunds, evolveOwnFunds, isOwnFundsCommand, isOwnFundsEvent, ownFundsReads } from './own-funds.ts';
import { type ReservesSeen, recordReserves, reservesReads } from './reserves.ts';

/** Numbers of blocks are decimal text. */
export type ScanMark = { number: string; hash: string };

export type RailState = {
  /** `eip155:<chain id>/<first digits of the genesis hash>`; empty before it is opened. */
  rail: string;
  token: string;
  treasury: string;
  factory: string;
  /** Blocks up to this one were looked through. */
  scanned: ScanMark;
  /** An older block: when it is another one by now, the chain changed deeper than anybody looks back. */
  anchor: ScanMark;
  /** How often an administrator sent those who look back; absent: never. */
  rewinds?: number;
  /** What the chain held at the last recorded look; absent before the first. */
  reserves?: ReservesSeen;
  /** Money is missing there: nothing leaves. */
  withdrawals_stopped?: boolean;
};

const PREFIX = 'rail:';
const NO_MARK: ScanMark = { number: '-1', hash: '' };

export const railStream = (rail: string): string => `${PREFIX}${rail}`;

export const rail: Decider<RailState> = {
  kind: 'rail',
  initial: { rail: '', token: '', treasury: '', factory: '', scanned: NO_MARK, anchor: NO_MARK },
  reads({ type, stream, body }) {
    if (type === 'RecordReserves') return reservesReads(stream.slice(PREFIX.length));
    if (isOwnFundsCommand(type)) return ownFundsReads(stream.slice(PREFIX.length));
    return type === 'RecordSweep' ? { accounts: [depositAccount(textIn(body, 'deposit_id'))] } : {};
  },
  decide(state, command, seen) {
    if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
    if (command.type === 'OpenRail') return openRail(state, command);
    if (state.rail === '') return { rejection: 'NOT_FOUND' };
    if (command.type === 'RecordScan') return recordScan(state, command);
    if (command.type === 'RewindScan') return rewindScan(state, command);
    if (command.type === 'RecordSweep') return recordSweep(state, command, seen);
    if (command.type === 'RecordReserves') return recordReserves(state, command, seen);
    if (isOwnFundsCommand(command.type)) return decideOwnFunds(state, command, seen);
    throw new TypeError(`a rail knows no command ${command.type}`);
  },
  evolve(state, { type, body }) {
    if (type === 'RailOpened') {
      const [token, treasury, factory] = [textIn(body, 'token'), textIn(body, 'treasury'), textIn(body, 'factory')];
      return { ...state, rail: textIn(body, 'rail'), token, treasury, factory };
    }
    if (type === 'BlocksScanned')
      return { ...state, scanned: body['scanned'] as ScanMark, anchor: body['anchor'] as ScanMark };
    if (type === 'ScanRewound') {
      const scanned = body['scanned'] as ScanMark;
      return { ...state, scanned, anchor: scanned, rewinds: (state.rewinds ?? 0) + 1 };
    }
    if (type === 'ReservesChecked') return { ...state, ...(body as Partial<RailState>) };
    return isOwnFundsEvent(type) ? evolveOwnFunds(state, { type, body }) : state;
  },
  owner: () => null,
};

/** Opened again with other addresses, it would mix two treasuries in one account. */
function openRail(state: RailState, { stream, body }: Command): Decision {
  const [token, treasury, factory] = [textIn(body, 'token'), textIn(body, 'treasury'), textIn(body, 'factory')];
  const isSame = state.token === token && state.treasury === treasury && state.factory === factory;
  if (state.rail !== '' && isSame) return { rejection: 'NOTHING_TO_CHANGE' };
  if (state.rail !== '') {
    const { token: first_token, treasury: first_treasury, factory: first_factory } = state;
    return { rejection: 'ALREADY_EXISTS', facts: { id: state.rail, first_token, first_treasury, first_factory } };
  }
  const name = stream.slice(PREFIX.length);
  return {
    events: [{ type: 'RailOpened', body: { rail: name, token, treasury, factory } }],
    opens: [chainAccount(name, 'treasury'), chainAccount(name, 'forwarders'), reorgLossAccount(name)].map(
      (account) => ({
        account,
        asset: 'usd',
        noOverdraft: false,
      }),
    ),
  };
}

/** Not by one who does not know yet that it was sent back. */
function recordScan({ rewinds = 0 }: RailState, { body }: Command): Decision {
  if ((body['rewinds'] ?? 0) !== rewinds) return { rejection: 'NOTHING_TO_CHANGE' };
  return { events: [{ type: 'BlocksScanned', body: { scanned: body['scanned']!, anchor: body['anchor']! } }] };
}

/** Everything after `scanned`, a block that stands, is looked through anew; what was credited there and stands no more is taken back. */
function rewindScan(state: RailState, { body }: Command): Decision {
  const [scanned, by, reason] = [body['scanned'] as ScanMark, textIn(body, 'by'), textIn(body, 'reason')];
  if (BigInt(scanned.number) >= BigInt(state.scanned.number)) return { rejection: 'NOTHING_TO_CHANGE' };
  const answer = { scanned, before: state.scanned };
  return { events: [{ type: 'ScanRewound', body: { ...answer, by, reason } }], answer };
}

/** From depositors' addresses to the treasury: ours before and after. */
function recordSweep(state: RailState, { body }: Command, seen: Seen): Decision {
  const [id, amountMicros] = [textIn(body, 'deposit_id'), microsIn(body, 'amount_micros')];
  if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(amountMicros) } };
  const marker = depositAccount(id);
  if (seen.availableMicros(marker) !== undefined) return { rejection: 'ALREADY_EXISTS', facts: { id } };
  const [debit, credit] = [chainAccount(state.rail, 'treasury'), chainAccount(state.rail, 'forwarders')];
  return {
    events: [{ type: 'SweepRecorded', body: { deposit_id: id, amount_micros: String(amountMicros) } }],
    opens: [{ account: marker, asset: 'usd', noOverdraft: true }],
    postings: [{ asset: 'usd', debit, credit, amountMicros }],
    evidence: [{ tx: textIn(body, 'tx') }],
  };
}
