/**
 * The platform's own dollars on its chain: an administrator explains what chain and ledger differ by.
 * Promise: nothing is decided here; the chain's own stream says how much there is to explain.
 */
import { FundsService } from '@tallystick/proto';
import { type Call, implement } from '@tallystick/surface';
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
