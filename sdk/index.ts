/**
 * The sdk: everything a program needs to buy a machine, work on it and prove what happened.
 * Promise: what stands here is the public protocol and nothing more; every change goes through the platform.
 */
export {
  formatUsd,
  type JsonObject,
  MICROS_PER_USD,
  SAFE_MICROS_MAX,
  type TokenDomain,
  type TransferAuthorization,
  USUAL_SCOPES,
  WITHDRAW_SCOPE,
} from '@tallystick/kernel';
export {
  type ApiKey,
  ApiKeySchema,
  type Balance,
  BalanceSchema,
  type ChainDeposit,
  ChainDepositSchema,
  type Clamp,
  type Deposit,
  type DepositAddress,
  DepositAddressSchema,
  DepositSchema,
  DepositStatus,
  type Egress,
  type EgressDecision,
  EgressDecisionSchema,
  EgressSchema,
  type Event as LiveEvent,
  EventSchema,
  type Exec as ExecState,
  ExecSchema,
  type Job as JobState,
  JobSchema,
  JobStatus,
  JobStatusSchema,
  type PathChange,
  PathChangeSchema,
  type PathStatus,
  PathStatusSchema,
  type PayoutAddress,
  PayoutAddressSchema,
  type Port,
  PortSchema,
  type Quote,
  QuoteSchema,
  QuoteStatus,
  type Receipt,
  ReceiptSchema,
  type ReserveCheck,
  ReserveCheckSchema,
  ReserveSchema,
  type Reserves,
  ReservesSchema,
  type Sandbox as SandboxState,
  SandboxSchema,
  SandboxStatus,
  SecurityMode,
  type Snapshot,
  SnapshotCause,
  SnapshotSchema,
  SnapshotStatus,
  StopReason,
  UploadedFileSchema,
  WaitingFor,
  type Wallet,
  WalletSchema,
  type Withdrawal,
  WithdrawalSchema,
  WithdrawalStatus,
} from '@tallystick/proto';
export { connect, type Keys, type Sandboxes, type Tally } from './connect.ts';
export type { Deposits } from './deposits.ts';
export type { EgressQuery, EgressWish } from './egress.ts';
export { type ExecOptions, type ExecStream, STDIN_BYTES_MAX, type Terminal, type TerminalOptions } from './exec.ts';
export type { Source, TreeContent, TreeProgress } from './files.ts';
export { type Asked, type Keyed, nameOfRun, newExecId } from './ids.ts';
export type { CreateJobOptions, ExtendOptions, Job, Jobs } from './job.ts';
export { type FollowOptions, type Live, LiveProblem, LOST_MS_MAX } from './live.ts';
export { type Login, type LoginOptions, login } from './login.ts';
export { type ExecEnd, type ExecOutcome, type ExecResult, OUTPUT_KEPT_BYTES_MAX, type OutputChunk } from './output.ts';
export type { OwnWallet } from './own-wallet.ts';
export type { ReadOptions, SandboxFiles } from './paths.ts';
export { type ApproveOptions, approvePayment, isOfferOpen } from './payments/approve.ts';
export type { CallName } from './payments/call.ts';
export type { Holds } from './payments/cover.ts';
export { fileIntents, IntentsFault } from './payments/file-intents.ts';
export {
  type Change,
  type IntentStatus,
  type IntentStore,
  isSpent,
  memoryIntents,
  type PaymentIntent,
} from './payments/intents.ts';
export { type Above, type Payee, payeeOf, payeeText, type SpendLimits } from './payments/limits.ts';
export { type PaymentQuestion, type SpendGuardOptions, spendGuard } from './payments/spend-guard.ts';
export { plain } from './plain.ts';
export type { ExposeOptions } from './ports.ts';
export type { Quotes } from './quotes.ts';
export { type Receipts, writeWhole } from './receipts.ts';
export { type CreateSandboxOptions, Sandbox } from './sandbox.ts';
export type { Attested, AttestOptions, ReleasedSecret } from './secrets.ts';
export {
  ApiError,
  type Connection,
  type FileEntry,
  type PaidCall,
  type Payer,
  type Payment,
  type PaymentOption,
  type PaymentRequired,
  type Problem,
  type RefusalWords,
  type Retry,
  refuseHere,
  type Services,
  UnreachableError,
  type UploadedFile,
} from './services.ts';
export type { SnapshotOptions, Snapshots } from './snapshots.ts';
export type { ToolCallOptions, Tools } from './tools.ts';
export type { TerminalSize, Typing } from './typing.ts';
export { newPrivateKey, PrivateKeyError, type Signer, signerOfPrivateKey } from './wallet.ts';
export type { FileEvent, FileEventKind, WatchOptions } from './watch.ts';
export type { PayoutAddresses, PayoutProof, TextSigner, Withdrawals, WithdrawOptions } from './withdrawals.ts';
