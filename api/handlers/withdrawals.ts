/**
 * Withdrawals, and the addresses that they may go to.
 * Promise: nothing is decided here and nothing is sent from here; a text to sign serves one attempt.
 */
import { randomBytes } from 'node:crypto';
import { type Engine, listStreams, readStream, type StreamRow } from '@tallystick/engine';
import {
  checksumAddress,
  dayOf,
  type JsonObject,
  monthOf,
  sha256Hex,
  verifyPersonalSignature,
} from '@tallystick/kernel';
import { type ErrorCodeName, WithdrawalService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import {
  ownAddressOf,
  type PayoutState,
  payoutStream,
  type WithdrawalState,
  withdrawalStream,
} from '@tallystick/treasury';
import { type JudgeSignature, type LoginClaim, signatureJudge } from '../contract-signatures.ts';
import { connected, type Desk } from '../deposits/desk.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { nextToken, pageOf } from '../page.ts';
import type { SiteOf } from '../site.ts';
import { timestampFromUs } from '../view-parts.ts';
import { ownPayoutAddress, payoutMessage, withdrawalMessage } from '../views/withdrawal.ts';
import { networkOf } from './deposits.ts';

const PER_PAGE = 50;
const NONCE_BYTES = 16;
const NONCE_MS = 900_000;
const US_PER_MS = 1_000n;
const ID_HEX_CHARS = 32;
const HAS_CAPITALS = /[A-F]/;
const HAS_SMALLS = /[a-f]/;
const HEX_PREFIX_CHARS = 2;

export interface WithdrawalOptions {
  engine: Engine;
  desk: Desk | undefined;
  /** Somebody signs and sends what is held. */
  sends: boolean;
  /** Smaller ones are refused, whatever the policy says. */
  minMicros: bigint;
  /** So much stays, whatever the policy says. */
  reserveMicros: bigint;
  siteOf: SiteOf;
}

export function withdrawalHandlers({ engine, desk, sends, minMicros, reserveMicros, siteOf }: WithdrawalOptions) {
  const judge = desk && signatureJudge(desk.link);
  return implement(WithdrawalService, {
    async createWithdrawal({ amountMicros, address }, call) {
      const { link } = connected(desk);
      if (!sends) throw refuse('WITHDRAWALS_OFF');
      const { id: principal } = call.principal!;
      const to = address === '' ? ownAddressOf(principal) : addressGiven(address);
      const body = {
        rail: (await link.chain()).key,
        to,
        amount_micros: String(amountMicros),
        ...{ month: monthOf(engine.nowUs()), day: dayOf(engine.nowUs()) },
        ...{ min_micros: String(minMicros), reserve_micros: String(reserveMicros) },
      };
      const id = withdrawalIdOf(principal, call.idempotencyKey);
      const target = { stream: withdrawalStream(id), type: 'RequestWithdrawal', body };
      const { answer, receiptId } = await executeFor(engine, call, commandFrom(call, target));
      return withdrawalMessage(answer['withdrawal'] as unknown as WithdrawalState, receiptId);
    },
    async getWithdrawal({ id }, call) {
      const head = await readStream(engine, withdrawalStream(id));
      if (!head || head.owner !== call.principal!.id)
        throw refuse('NOT_FOUND', {}, `there is no withdrawal ${id} for you`);
      return withdrawalMessage(head.state as unknown as WithdrawalState, head.receiptId);
    },
    async listWithdrawals(request, call) {
      const page = pageOf(request, PER_PAGE);
      const rows = await listStreams(engine, { kind: 'withdrawal', owner: call.principal!.id, ...page });
      return {
        withdrawals: rows.map(({ state, receiptId }) =>
          withdrawalMessage(state as unknown as WithdrawalState, receiptId),
        ),
        nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos),
      };
    },
    async cancelWithdrawal({ id }, call) {
      const target = { stream: withdrawalStream(id), type: 'CancelWithdrawal', body: {} };
      const { answer, receiptId } = await executeFor(engine, call, commandFrom(call, target));
      return withdrawalMessage(answer['withdrawal'] as unknown as WithdrawalState, receiptId);
    },
    createPayoutNonce: ({ address }, call) => askPayout(connected(desk), call, addressGiven(address), siteOf),
    createPayoutAddress: (request, call) =>
      provePayout(connected(desk), judge!, call, { ...request, address: addressGiven(request.address) }),
    async listPayoutAddresses(request, call) {
      const { link } = connected(desk);
      const principal = call.principal!.id;
      const page = pageOf(request, PER_PAGE);
      const chain = await link.chain();
      const filter = { status: 'proven', rail: chain.key };
      const rows = await listStreams(engine, { kind: 'payout', owner: principal, ...page, filter });
      const own = page.after === undefined ? ownPayoutAddress(principal, networkOf(chain)) : [];
      return {
        addresses: [...own, ...rows.map((row) => payoutMessage(stateOf(row), engine.nowUs()))],
        nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos),
      };
    },
    async deletePayoutAddress({ address }, call) {
      const stream = await payoutStreamOf(connected(desk), call, addressGiven(address));
      const { state } = await ownPayout(engine, stream, call);
      await executeFor(engine, call, commandFrom(call, { stream, type: 'RevokePayout', body: {} }));
      return payoutMessage({ ...state, status: 'revoked', usable_from_us: '0' }, engine.nowUs());
    },
  });
}

/** The same for the same key, so that a repetition finds what it asked for. */
const withdrawalIdOf = (principal: string, key: string): string =>
  `wdr_${sha256Hex(`${principal}\n${key}`).slice(0, ID_HEX_CHARS)}`;

/** Lower case. @errors refuses what was mistyped, as far as its capitals tell */
function addressGiven(address: string): string {
  const digits = address.slice(HEX_PREFIX_CHARS);
  const isMixed = HAS_CAPITALS.test(digits) && HAS_SMALLS.test(digits);
  if (!isMixed || checksumAddress(address) === address) return address.toLowerCase();
  const cause = 'its capitals do not fit its EIP-55 checksum: it was mistyped or changed';
  throw refuse('PAYOUT_ADDRESS_REFUSED', { address, cause });
}

const stateOf = ({ state }: Pick<StreamRow, 'state'>): PayoutState => state as unknown as PayoutState;

const payoutStreamOf = async ({ link }: Desk, call: Call, address: string): Promise<string> =>
  payoutStream(call.principal!.id, (await link.chain()).key, address);

/** @errors refuses what was never asked for by the caller */
async function ownPayout(engine: Engine, stream: string, call: Call): Promise<{ state: PayoutState }> {
  const head = await readStream(engine, stream);
  if (!head || head.owner !== call.principal!.id)
    throw refuse('NOT_FOUND', {}, 'the address was never asked for by this account');
  return { state: stateOf(head) };
}

async function askPayout({ engine, link }: Desk, call: Call, address: string, siteOf: SiteOf) {
  const chain = await link.chain();
  const { domain, uri } = siteOf(call.host);
  const expiresAtUs = engine.nowUs() + BigInt(NONCE_MS) * US_PER_MS;
  const body = {
    ...{ rail: chain.key, address, domain, uri, chain_id: chain.chainId },
    nonce: randomBytes(NONCE_BYTES).toString('hex'),
    expires_at_us: String(expiresAtUs),
  };
  const target = { stream: payoutStream(call.principal!.id, chain.key, address), type: 'AskPayout', body };
  const { answer } = await executeFor(engine, call, commandFrom(call, target));
  return {
    address,
    message: String(answer['message']),
    expiresAt: timestampFromUs(String(answer['expires_at_us'])),
  };
}

interface Proof {
  address: string;
  message: string;
  signature: string;
  ownerSignature: string;
}

async function provePayout(desk: Desk, judge: JudgeSignature, call: Call, proof: Proof) {
  const { engine } = desk;
  const stream = await payoutStreamOf(desk, call, proof.address);
  const { state } = await ownPayout(engine, stream, call);
  const [{ message, signature, ownerSignature }, owner] = [proof, call.principal!.id];
  const isAsked = state.challenge?.message === message;
  const { chainId } = await desk.link.chain();
  const ownClaim = { chainId: chainIdOf(owner), address: ownAddressOf(owner), message, signature: ownerSignature };
  const body = {
    ...{ message, signature, owner_signature: ownerSignature },
    contract: isAsked ? await saidByChain(judge, { chainId, address: proof.address, message, signature }) : null,
    owner_contract: isAsked ? await saidByChain(judge, ownClaim) : null,
  };
  const { answer } = await executeFor(engine, call, commandFrom(call, { stream, type: 'ProvePayout', body }));
  const refused = answer['refused'];
  if (refused !== undefined) throw refuse(refused as ErrorCodeName, (answer['facts'] ?? {}) as JsonObject);
  const proven = { ...state, ...(answer as Partial<PayoutState>), status: 'proven' as const };
  return payoutMessage(proven, engine.nowUs());
}

/** Null where a key signed: the chain is asked for nothing in vain. */
async function saidByChain(judge: JudgeSignature, claim: LoginClaim): Promise<JsonObject | null> {
  const { address, message, signature } = claim;
  if (verifyPersonalSignature(message, signature)?.toLowerCase() === address) return null;
  const { holds, rail, block, blockHash } = await judge(claim);
  return { holds, rail, block, block_hash: blockHash };
}

/** Of `eip155:<chain>:<address>`. */
const chainIdOf = (principal: string): number => Number(principal.split(':')[1]);
