/**
 * The platform's own dollars on its chain: an administrator explains what chain and ledger differ by, or has the chain looked through anew.
 * Promise: nothing is decided here; the chain's own stream says how much there is to explain, and the chain which block stands.
 */
import { FundsService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';
import { railStream } from '@tallystick/treasury';
import { connected, type Desk } from '../deposits/desk.ts';
import { executeAsPlatform } from './admin.ts';

interface Explained {
  amountMicros: bigint;
  reason: string;
}

export const fundsHandlers = (desk: Desk | undefined) =>
  implement(FundsService, {
    contributeFunds: (request, call) => explain(connected(desk), call, 'ContributeFunds', request),
    writeOffFunds: (request, call) => explain(connected(desk), call, 'WriteOffFunds', request),
    rescanDeposits: (request, call) => rescan(connected(desk), call, request),
  });

async function explain({ engine, link }: Desk, call: Call, type: string, { amountMicros, reason }: Explained) {
  const stream = railStream((await link.chain()).key);
  const body = { amount_micros: String(amountMicros), reason };
  const { answer, receiptId } = await executeAsPlatform(engine, call, stream, type, body);
  const { account, own_micros, unexplained_micros } = answer['own_funds'] as Record<string, string>;
  return {
    account: account!,
    ownMicros: BigInt(own_micros!),
    unexplainedMicros: BigInt(unexplained_micros!),
    receiptId,
  };
}

async function rescan({ engine, link }: Desk, call: Call, request: { fromBlock: bigint; reason: string }) {
  const { fromBlock, reason } = request;
  const chain = await link.chain();
  const standing = await chain.header(fromBlock - 1n);
  if (!standing) throw refuse('NOT_FOUND', {}, `The chain has no block ${fromBlock - 1n}.`);
  const scanned = { number: String(standing.number), hash: standing.hash };
  const body = { scanned, reason };
  const { answer, receiptId } = await executeAsPlatform(engine, call, railStream(chain.key), 'RewindScan', body);
  const { number } = answer['before'] as { number: string };
  return { fromBlock, standingHash: standing.hash, beforeBlock: BigInt(number), receiptId };
}
