/**
 * The one door of the treasury plane: the platform's accounts and everybody's money.
 * Promise: nothing here reads a clock or the world.
 */
export { type AccountState, account } from './account.ts';
export { type AddressState, address, addressStream } from './address.ts';
export { type AuthorizationState, authorization, authorizationStream } from './authorization.ts';
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
export { mayClaim } from './claim.ts';
export { type DepositState, type DepositStatus, type Door, deposit, depositIdOf, depositStream } from './deposit.ts';
export { type LedgerState, ledger } from './ledger.ts';
export {
  type Payment,
  type PaymentProblem,
  paymentProblem,
  VALID_AHEAD_S_MAX,
  VALID_AHEAD_S_MIN,
} from './payment.ts';
export { ownAddressOf, type PayoutState, payout, payoutStream } from './payout-address.ts';
export {
  PAYOUT_POLICY,
  type PayoutAllowance,
  type PayoutTier,
  payoutAllowanceOf,
  type TreasuryPolicy,
} from './policy.ts';
export { OPTIONS_MAX, QUOTE_MS, quote } from './quote.ts';
export {
  authNonceOf,
  isOnlyAwaited,
  offeredQuote,
  type QuoteOption,
  type QuoteState,
  type QuoteStatus,
  quoteIdOf,
  quoteStream,
  SETTLE_TRIES_MAX,
} from './quote-state.ts';
export { type RailState, rail, railStream, type ScanMark } from './rail.ts';
export { TREASURY_REACTIONS } from './reactions.ts';
export {
  areReservesUnchecked,
  LOOKS_SHORT_MAX,
  RESERVE_PARTS,
  type ReserveFigures,
  type ReservePart,
  type ReservesSeen,
  reservesAnswer,
  reservesMoment,
  unexplainedMicros,
} from './reserves.ts';
export { type SignerState, signer, signerStream } from './signer.ts';
export { SWEEP_ADDRESSES_MAX, type SweepState, type SweepStatus, sweep, sweepStream } from './sweep.ts';
export { type WithdrawalState, type WithdrawalStatus, withdrawal, withdrawalStream } from './withdrawal.ts';
