/**
 * The one door of the kernel: what every part of the house shares.
 * Promise: pure; nothing here reads a clock, a file, the network or a source of randomness.
 */
export {
  CAP_ISSUER,
  CAP_SPENT,
  chainAccount,
  claimAccount,
  dayCapAccount,
  daySpentAccount,
  dayWithdrawalsAccount,
  dayWithdrawalsLeftAccount,
  depositAccount,
  escrowAccount,
  isDepositSource,
  jobCapAccount,
  jobSlotAccount,
  monthOutAccount,
  monthOutCapAccount,
  nonceAccount,
  openWithdrawalsAccount,
  openWithdrawalsLeftAccount,
  ownFundsAccount,
  paymentAccount,
  promisedAccount,
  providerAccount,
  reorgLossAccount,
  SLOT_ISSUER,
  SLOT_RUNNING,
  SUSPENSE,
  sandboxCapAccount,
  userAccount,
  userRunningAccount,
  userSlotAccount,
  userSnapshotSlotAccount,
  userSnapshotsAccount,
  userStoreAccount,
  userStoredAccount,
  WORLD_DEPOSITS,
  withdrawalAccount,
  withdrawingAccount,
  withdrawnAccount,
} from './accounts.ts';
export { type Allowance, allowanceSeen, allowanceUnder, overPolicy, suspended } from './allowance.ts';
export { base64Bytes } from './base64.ts';
export { isCanonical, JSON_DEPTH_MAX, jcs, parseStrict } from './canonical.ts';
export {
  type Checkpoint,
  type LogKey,
  type LogVerifier,
  logKeyFromSeed,
  logVerifierOf,
  openCheckpoint,
  parseLogVerifier,
  signCheckpoint,
} from './checkpoint.ts';
export {
  type Accepted,
  type Asset,
  type Command,
  type Decider,
  type Decision,
  type DomainEvent,
  deciderOf,
  type EventPlace,
  type HoldRef,
  isRejection,
  kindOf,
  type NewAccount,
  type OutboxMessage,
  type Policy,
  type Posting,
  type Reaction,
  type Reads,
  type Rejection,
  type Rules,
  type Seen,
  type Timer,
} from './decider.ts';
export { type Envelope, openEnvelope, signEnvelope } from './dsse.ts';
export { addressOfPrivateKey, checksumAddress, signPersonal, verifyPersonalSignature } from './ethereum.ts';
export {
  createExportDigest,
  EXPORT_END_TYPE,
  EXPORT_LEASE_KEYS_MAX,
  EXPORT_LINE_BYTES_MAX,
  EXPORT_PROOF_HASHES_MAX,
  EXPORT_SCHEMA,
  EXPORT_TYPE,
  type ExportDigest,
  type ExportEnd,
  type ExportHeader,
  type ExportLeaseKey,
  type ExportReceipt,
  type ExportTicket,
  exportHeaderLine,
  exportReceiptLine,
  exportTicketLine,
} from './export.ts';
export { countIn, countsIn, flagIn, microsIn, optionalIn, textIn, textsIn, timeUsIn } from './fields.ts';
export { createSha256, keccak256, sha256, sha256Hex } from './hashes.ts';
export { ID_PREFIXES, ID_RANDOM_BYTES, type Id, isId, newId, type Prefix } from './ids.ts';
export type { Json, JsonObject } from './json.ts';
export type { Ledger, LedgerAccount, LedgerRefusal } from './ledger.ts';
export {
  appendLeaves,
  consistencyProof,
  type Frontier,
  type HashSource,
  inclusionProof,
  leafHash,
  nodeHash,
  packFrontier,
  readFrontier,
  rootOf,
  TILE_LEVELS,
  type TileRoot,
  verifyConsistency,
  verifyInclusion,
} from './merkle.ts';
export { formatUsd, MICROS_PER_USD, mulDivCeil, mulDivFloor, parseMicros, SAFE_MICROS_MAX } from './money.ts';
export {
  type Quota,
  type QuotaPair,
  quotaAccounts,
  quotaGivenBack,
  quotaLeft,
  quotaOf,
  quotaTaken,
} from './quota.ts';
export { RECEIPT_SCHEMA, RECEIPT_TYPE, type Receipt, type ReceiptPosting } from './receipt.ts';
export {
  commandIdOf,
  commandOf,
  type Effects,
  effectsOf,
  fingerprintOf,
  opensOf,
  postingsOf,
  QUARANTINE_PREFIX,
  type ReceiptPlace,
  receiptOf,
} from './receipt-form.ts';
export { type ReceiptIdPlace, receiptIdOf, receiptPlace, SHARD_MAX } from './receipt-id.ts';
export { type Applied, applyReceipt, firstDifference, type Problem, type ReceiptAt } from './replay.ts';
export { dayOf, monthEndUs, monthOf, timeMsOf, timeTextOf } from './rfc3339.ts';
export { ADMIN_SCOPE, USUAL_SCOPES, WITHDRAW_SCOPE } from './scopes.ts';
export { type SeenSource, type WatchedSeen, watchSeen } from './seen.ts';
export {
  assertGoodPublicKey,
  keyIdOf,
  type SigningKey,
  signingKeyFromSeed,
  verifyEd25519,
} from './signatures.ts';
export { formatSiwe, parseSiwe, type SiweMessage } from './siwe.ts';
export {
  DEFAULT_TIER,
  isTierName,
  type Standing,
  standingStream,
  TIER_NAMES,
  type TierName,
} from './standing.ts';
export {
  CALLER_TICKET_TYPE,
  type CallerTicket,
  RUN_TICKET_TYPE,
  type RunTicket,
  readCallerTicket,
  readRunTicket,
} from './ticket.ts';
export {
  recoverTransferAuthorization,
  signTransferAuthorization,
  type TokenDomain,
  type TransferAuthorization,
  transferAuthorizationHash,
} from './transfer-authorization.ts';
export {
  memoryWorld,
  type Outcome,
  reactionsTo,
  type World,
  type WorldMessage,
  type WorldOptions,
  type WorldStream,
} from './world.ts';
