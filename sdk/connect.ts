/**
 * The door to a platform.
 * Promise: connecting sends nothing; every call says who asks by its API key alone.
 */
import type { ApiKey, Balance, Deposit, Sandbox as SandboxState } from '@tallystick/proto';
import { type Deposits, depositsOf } from './deposits.ts';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import { type Jobs, jobsOf } from './job.ts';
import { type Live, liveOf } from './live.ts';
import { type OwnWallet, ownWalletOf } from './own-wallet.ts';
import { pagesOf } from './pages.ts';
import { type Quotes, quotesOf } from './quotes.ts';
import { type Receipts, receiptsOf } from './receipts.ts';
import { type CreateSandboxOptions, createSandbox, Sandbox } from './sandbox.ts';
import { type Connection, type Link, linkOf, type Services } from './services.ts';
import { type Snapshots, snapshotsOf } from './snapshots.ts';
import { type Tools, toolsOf } from './tools.ts';
import { type Withdrawals, withdrawalsOf } from './withdrawals.ts';

export interface Sandboxes {
  /** Buys the first minute and starts a machine in a job. @errors ApiError as `job.sandboxes.create` */
  create(jobId: string, options?: CreateSandboxOptions): Promise<Sandbox>;
  /** @errors ApiError `not_found` */
  get(id: string, options?: Asked): Promise<Sandbox>;
  /** Without asking the platform. */
  attach(id: string): Sandbox;
  /** Newest first. */
  list(filter?: Asked & { jobId?: string }): AsyncIterable<SandboxState>;
}

export interface Keys {
  /** Newest first, without secrets. */
  list(options?: Asked): AsyncIterable<ApiKey>;
  revoke(id: string, options?: Keyed): Promise<ApiKey>;
}

/** Everything a caller can ask of the platform. */
export interface Tally {
  readonly baseUrl: string;
  balance(options?: Asked): Promise<Balance>;
  /** Credits development money. @errors ApiError `development_only` elsewhere than on a development platform on loopback */
  depositDevelopment(amountMicros: bigint, options?: Keyed): Promise<Deposit>;
  /**
   * Brings money from the payer's wallet to the account: at least this much.
   * @errors ApiError `insufficient_funds` with what can be paid, without a payer; `quotes_off`
   */
  topUp(amountMicros: bigint, options?: Keyed): Promise<Deposit>;
  readonly deposits: Deposits;
  readonly quotes: Quotes;
  readonly withdrawals: Withdrawals;
  /** The caller's own wallet, on the platform's chain. */
  readonly wallet: OwnWallet;
  readonly jobs: Jobs;
  readonly sandboxes: Sandboxes;
  readonly snapshots: Snapshots;
  readonly keys: Keys;
  readonly receipts: Receipts;
  readonly live: Live;
  /** Every operation by the name of its tool, with plain values: for agents and their protocols. */
  readonly tools: Tools;
  /** The contracts' methods as they are, for what has no polished form. */
  readonly services: Services;
}

/**
 * @errors throws TypeError when `baseUrl` is none; its calls throw ApiError (the platform said no) or UnreachableError
 * @example
 * const tally = connect({ baseUrl: 'http://127.0.0.1:8080', apiKey });
 * const job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
 * await using sandbox = await job.sandboxes.create({ quantumMs: 10_000n });
 * const { stdout } = await sandbox.exec(['uname', '-a']);
 */
export function connect(connection: Connection & { apiKey: string }): Tally {
  const live = liveOf(connection);
  const link = linkOf(connection, live);
  const { billing } = link.services;
  return {
    baseUrl: new URL(connection.baseUrl).origin,
    balance: (options) => billing.getBalance({}, askedOf(options)),
    depositDevelopment: (amountMicros, options) => billing.createDevelopmentDeposit({ amountMicros }, keyOf(options)),
    topUp: (amountMicros, options) => link.services.quotes.topUp({ amountMicros }, keyOf(options)),
    deposits: depositsOf(link),
    quotes: quotesOf(link),
    withdrawals: withdrawalsOf(link, connection.baseUrl),
    wallet: ownWalletOf(link),
    jobs: jobsOf(link),
    sandboxes: sandboxesOf(link),
    snapshots: snapshotsOf(link),
    keys: keysOf(link),
    receipts: receiptsOf(link),
    live,
    tools: toolsOf(connection),
    services: link.services,
  };
}

function sandboxesOf(link: Link): Sandboxes {
  const { sandboxes } = link.services;
  return {
    create: (jobId, options = {}) => createSandbox(link, jobId, options),
    get: async (id, options) => new Sandbox(link, id, await sandboxes.getSandbox({ id }, askedOf(options))),
    attach: (id) => new Sandbox(link, id),
    list: (filter = {}) =>
      pagesOf(async (pageToken) => {
        const page = await sandboxes.listSandboxes({ pageToken, jobId: filter.jobId ?? '' }, askedOf(filter));
        return { items: page.sandboxes, next: page.nextPageToken };
      }),
  };
}

function keysOf(link: Link): Keys {
  const { auth } = link.services;
  return {
    list: (options) =>
      pagesOf(async (pageToken) => {
        const page = await auth.listApiKeys({ pageToken }, askedOf(options));
        return { items: page.keys, next: page.nextPageToken };
      }),
    revoke: (id, options) => auth.revokeApiKey({ id }, keyOf(options)),
  };
}
