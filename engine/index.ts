/**
 * The engine's door: one write path, reading, timers, outgoing work, audit.
 * Promise: knows no plane; rules and handlers are arguments.
 */
export { type Audit, type AuditMark, type AuditOptions, type AuditProgress, auditShard } from './audit.ts';
export { createEngine, type Engine, type EngineOptions } from './commit/engine.ts';
export { Fault } from './fault.ts';
export { noteMoment, readMoment } from './moments.ts';
export { Newcomers, type NewcomersQuery } from './newcomers.ts';
export { type Delivery, type Handler, type OutboxOptions, runOutbox } from './outbox.ts';
export type { Outcome } from './outcome.ts';
export { consistency, inclusion, inclusions } from './proofs.ts';
export {
  type AccountRow,
  advanceCursor,
  type FoundReceipt,
  FROM_START,
  head,
  LOOKED_THROUGH_MAX,
  latestCheckpoint,
  listStreams,
  oldestOfStatus,
  PAGE_MAX,
  type ReceiptQuery,
  type ReceiptRow,
  readBalances,
  readCursor,
  readOutcomes,
  readReceipt,
  readReceiptAt,
  readReceipts,
  readStream,
  type StatusOf,
  type StreamQuery,
  type StreamRow,
  statusReader,
  streamReader,
  streamsBegunUnowned,
  streamsOfOwner,
  streamsOfStatus,
  streamsOfStatusWith,
  trialBalance,
  type WaitingWork,
  waitingWork,
} from './read.ts';
export { type KeepTicket, type KeptTicket, readTickets, ticketKeeper } from './ticket-store.ts';
export { fireDueTimers, runTimers, type TimersOptions } from './timers.ts';
