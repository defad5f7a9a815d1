/**
 * The one door of the treasury plane: the platform's accounts and everybody's money.
 * Promise: nothing here reads a clock or the world.
 */
export { type AccountState, account } from './account.ts';
export { type AddressState, address, addressStream } from './address.ts';
export {
  ATTEMPTS_MAX,
  type Attempt,
  BROADCAST_TOPIC,
  type Broadcast,
  broadcastReads,
  decideBroadcast,
  evolveBroadcast,
  isBroadcastCommand,
  isBroadcastEvent,
  NO_BROADCAST,
} from './broadcast.ts';
export { type DepositState, type DepositStatus, type Door, deposit, depositIdOf, depositStream } from './deposit.ts';
export { type LedgerState, ledger } from './ledger.ts';
export { type RailState, rail, railStream, type ScanMark } from './rail.ts';
export { TREASURY_REACTIONS } from './reactions.ts';
export { type SignerState, signer, signerStream } from './signer.ts';
