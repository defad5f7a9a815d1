/**
 * Deposits on a chain: where to, which, and what the platform holds.
 * Promise: figures of the chain and of the ledger are told side by side, never one for the other.
 */
import type { StreamRow } from '@tallystick/engine';
import type { Chain, ChainFault } from '@tallystick/engine/adapters/chain';
import { DepositService, DepositStatus } from '@tallystick/proto';
import { implement } from '@tallystick/surface';
import type { DepositState } from '@tallystick/treasury';
import { connected, type Desk, depositAddressFor } from '../deposits/desk.ts';
import { depositMeant, listOwnDeposits } from '../deposits/own.ts';
import { reservesReader } from '../deposits/reserves.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { nextToken, pageOf } from '../page.ts';
import { timestampFromUs } from '../view-parts.ts';
import { depositMessage } from './billing.ts';

const DEPOSITS_PER_PAGE = 50;
/** A public answer is so old at most. */
const RESERVES_MS_MAX = 1_000;

const STATUSES: Record<string, DepositStatus> = {
  seen: DepositStatus.SEEN,
  gone: DepositStatus.GONE,
  credited: DepositStatus.CREDITED,
  parked: DepositStatus.PARKED,
  reversed: DepositStatus.REVERSED,
};

export const networkOf = ({ chainId }: Pick<Chain, 'chainId'>): string => `eip155:${chainId}`;

export const depositHandlers = (desk: Desk | undefined) =>
  implement(DepositService, {
    async createDepositAddress(_request, call) {
      const principal = call.principal!.id;
      const { chain, address } = await depositAddressFor(connected(desk), principal);
      const { confirmations: confirmationsNeeded } = connected(desk).settings;
      return { address, network: networkOf(chain), token: chain.config.token, confirmationsNeeded, principal };
    },
    async listDeposits(request, call) {
      const { engine, settings } = connected(desk);
      const page = pageOf(request, DEPOSITS_PER_PAGE);
      const [rows, head] = await Promise.all([
        listOwnDeposits(engine, call.principal!.id, page),
        headNumber(connected(desk)),
      ]);
      const deposits = rows.map((row) => chainDeposit(row, { head, confirmationsNeeded: settings.confirmations }));
      return { deposits, nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos) };
    },
    async claimDeposit({ id }, call) {
      const principal = call.principal!.id;
      const body = { deposit_id: await depositMeant(desk, principal, id) };
      const target = { stream: `account:${principal}`, type: 'ClaimDeposit', body };
      const { answer, receiptId } = await executeFor(connected(desk).engine, call, commandFrom(call, target));
      return { ...depositMessage(answer, principal), receiptId };
    },
    getReserves: shared(reservesReader(() => connected(desk))),
  });

/** Whoever asks while it is being read, or right after, gets that answer: anybody may ask, and each reading asks the chain a lot. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let answer: { value: Promise<T>; untilMs: number } | undefined;
  return () => {
    if (answer && performance.now() < answer.untilMs) return answer.value;
    const fresh = { value: read(), untilMs: Number.POSITIVE_INFINITY };
    const last = (ms: number) => () => {
      fresh.untilMs = performance.now() + ms;
    };
    fresh.value.then(last(RESERVES_MS_MAX), last(0));
    answer = fresh;
    return fresh.value;
  };
}

/** Undefined when the chain does not answer: the list is told without it. */
async function headNumber({ link }: Desk): Promise<bigint | undefined> {
  return link
    .chain()
    .then((chain) => chain.head())
    .then(
      ({ number }) => number,
      (_fault: ChainFault) => undefined,
    );
}

interface Depth {
  head: bigint | undefined;
  confirmationsNeeded: number;
}

function chainDeposit({ state, receiptId }: StreamRow, { head, confirmationsNeeded }: Depth) {
  const deposit = state as unknown as DepositState;
  const block = BigInt(deposit.block);
  const status = STATUSES[deposit.status] ?? DepositStatus.UNSPECIFIED;
  const isOnChain = status !== DepositStatus.GONE && status !== DepositStatus.REVERSED;
  return {
    id: deposit.id,
    principal: deposit.principal,
    amountMicros: BigInt(deposit.amount_micros),
    status,
    network: deposit.rail.slice(0, deposit.rail.indexOf('/')),
    tx: deposit.tx,
    payer: deposit.payer,
    payee: deposit.payee,
    block,
    ...(head === undefined || !isOnChain || head < block ? {} : { confirmations: head - block + 1n }),
    confirmationsNeeded,
    seenAt: timestampFromUs(deposit.seen_at_us),
    receiptId,
  };
}
