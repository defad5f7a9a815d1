/**
 * The typed services of the platform, one per contract, over one connection.
 * Promise: the API key travels in a header to one origin only and stands in no message that is logged.
 */
import {
  AdminService,
  AuthService,
  BillingService,
  DepositService,
  type DownloadFileRequest,
  EgressService,
  ExecService,
  FileService,
  FundsService,
  JobService,
  PathService,
  PolicyService,
  PortService,
  QuoteService,
  ReceiptService,
  SandboxService,
  SecretService,
  SnapshotService,
  type UploadedFile,
  WalletService,
  WatchService,
  WithdrawalService,
} from '@tallystick/proto';
import {
  createRestClient,
  download,
  type Payer,
  type Payment,
  type RestClient,
  type Retry,
  type UploadBody,
  upload,
} from '@tallystick/surface/client';
import { type Asked, askedOf } from './ids.ts';
import type { Live } from './live.ts';

export type { FileEntry, UploadedFile } from '@tallystick/proto';
export {
  ApiError,
  type PaidCall,
  type Payer,
  type Payment,
  type PaymentOption,
  type PaymentRequired,
  type Problem,
  type RefusalWords,
  type Retry,
  refuseHere,
} from '@tallystick/surface/client';

/** @internal Every contract there is. */
export const ALL_SERVICES = [
  AuthService,
  BillingService,
  DepositService,
  WithdrawalService,
  QuoteService,
  WalletService,
  JobService,
  SandboxService,
  ExecService,
  FileService,
  PathService,
  WatchService,
  PortService,
  EgressService,
  SecretService,
  SnapshotService,
  ReceiptService,
  PolicyService,
  AdminService,
  FundsService,
] as const;

/** Where the platform is, and with which credential. */
export interface Connection {
  /** `http://` or `https://`, host and port. */
  baseUrl: string;
  apiKey?: string;
  /** Absent: the one of the runtime. */
  fetch?: typeof globalThis.fetch;
  /** Sees every attempt that failed and will be repeated with the same key. */
  onRetry?: (retry: Retry) => void;
  /** Attempts of one call, the first included; absent: 6. */
  attemptsMax?: number;
  /** Pays what a call needs, e.g. `spendGuard`; absent: a call that lacks money is refused. */
  payer?: Payer | undefined;
  /** Hears of every payment that the platform took for a call. */
  onPayment?: ((payment: Payment) => void) | undefined;
}

export interface Services {
  auth: RestClient<typeof AuthService>;
  jobs: RestClient<typeof JobService>;
  sandboxes: RestClient<typeof SandboxService>;
  execs: RestClient<typeof ExecService>;
  files: RestClient<typeof FileService>;
  paths: RestClient<typeof PathService>;
  watches: RestClient<typeof WatchService>;
  ports: RestClient<typeof PortService>;
  egress: RestClient<typeof EgressService>;
  secrets: RestClient<typeof SecretService>;
  snapshots: RestClient<typeof SnapshotService>;
  receipts: RestClient<typeof ReceiptService>;
  billing: RestClient<typeof BillingService>;
  deposits: RestClient<typeof DepositService>;
  quotes: RestClient<typeof QuoteService>;
  withdrawals: RestClient<typeof WithdrawalService>;
  wallet: RestClient<typeof WalletService>;
  policy: RestClient<typeof PolicyService>;
  admin: RestClient<typeof AdminService>;
  funds: RestClient<typeof FundsService>;
}

/** What every part of the sdk works with. @internal */
export interface Link {
  apiKey: string | undefined;
  services: Services;
  live: Live;
  upload(
    to: { id: string; path: string; unpack: boolean },
    body: UploadBody,
    options: { idempotencyKey: string },
  ): Promise<UploadedFile>;
  /** Types into a command. */
  type(
    to: { id: string; execId: string; at: bigint; writer: string; end: boolean },
    bytes: Uint8Array,
  ): Promise<{ position: bigint }>;
  download(
    from: Pick<DownloadFileRequest, 'id' | 'path' | 'pack'> & { offset?: bigint; length?: bigint },
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  export(call?: Asked): AsyncIterable<Uint8Array>;
}

/** The platform did not answer; whether a change happened is unknown, and a repeat with the same key is safe. */
export class UnreachableError extends TypeError {
  readonly code = 'unreachable';

  constructor(origin: string, cause: unknown) {
    super(`${origin} does not answer: ${reasonOf(cause)}`, { cause });
    this.name = 'UnreachableError';
  }
}

/** Fetch hides the reason one level down. */
function reasonOf(fault: unknown): string {
  if (!(fault instanceof Error)) return String(fault);
  return fault.cause instanceof Error ? fault.cause.message || fault.cause.name : fault.message;
}

/** @internal */
export function clientOptions(connection: Connection) {
  const { baseUrl, apiKey, onRetry, attemptsMax, payer, onPayment, fetch = globalThis.fetch } = connection;
  const { origin } = new URL(baseUrl);
  const reach: typeof globalThis.fetch = (input, init) =>
    fetch(input, init).catch((fault: unknown) => {
      throw fault instanceof TypeError ? new UnreachableError(origin, fault) : fault;
    });
  return { baseUrl, token: apiKey, fetch: reach, onRetry, attemptsMax, payer, onPayment };
}

/** @internal */
export function servicesOf(connection: Connection): Services {
  const options = clientOptions(connection);
  return {
    auth: createRestClient(AuthService, options),
    jobs: createRestClient(JobService, options),
    sandboxes: createRestClient(SandboxService, options),
    execs: createRestClient(ExecService, options),
    files: createRestClient(FileService, options),
    paths: createRestClient(PathService, options),
    watches: createRestClient(WatchService, options),
    ports: createRestClient(PortService, options),
    egress: createRestClient(EgressService, options),
    secrets: createRestClient(SecretService, options),
    snapshots: createRestClient(SnapshotService, options),
    receipts: createRestClient(ReceiptService, options),
    billing: createRestClient(BillingService, options),
    deposits: createRestClient(DepositService, options),
    quotes: createRestClient(QuoteService, options),
    withdrawals: createRestClient(WithdrawalService, options),
    wallet: createRestClient(WalletService, options),
    policy: createRestClient(PolicyService, options),
    admin: createRestClient(AdminService, options),
    funds: createRestClient(FundsService, options),
  };
}

/** @internal */
export function linkOf(connection: Connection, live: Live): Link {
  const options = clientOptions(connection);
  return {
    apiKey: connection.apiKey,
    services: servicesOf(connection),
    live,
    upload: (to, body, call) => upload(FileService.method.uploadFile, to, body, options, call),
    type: (to, bytes) => upload(ExecService.method.writeExecStdin, to, bytes, options),
    download: (from, signal) =>
      bytesOf(async () => {
        const call = signal ? { signal } : {};
        return (await download(FileService.method.downloadFile, from, options, call)).stream;
      }),
    export: (call) =>
      bytesOf(async () => (await download(ReceiptService.method.exportReceipts, {}, options, askedOf(call))).stream),
  };
}

/** Asks only when the first byte is wanted. */
async function* bytesOf(open: () => Promise<ReadableStream<Uint8Array>>): AsyncGenerator<Uint8Array> {
  yield* await open();
}
