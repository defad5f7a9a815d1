/**
 * The sending side of a chain: what a transaction of ours would do, what it costs, and what became of it.
 * Promise: what endpoints say to a transaction decides nothing; only receipts that all of them give do.
 */
import { type Address, BaseError, type Hex, type PublicClient } from 'viem';
import { type Authorization, CALLS_ABI, type CallPlaces, type ChainCall, encodeCall } from './calls.ts';
import { agreed, type BlockRef, commonHead, reached, unreachable } from './endpoints.ts';
import { type Fees, suggestedFees } from './fees.ts';
import { nonceTaker } from './nonce-taker.ts';
import { tokenWords } from './token-words.ts';

const GAS_QUARTERS = 5n;
const QUARTERS = 4n;

/** A transaction in a block. */
export interface MinedTransaction {
  block: BlockRef;
  /** False: the contract undid it; its nonce is used all the same. */
  succeeded: boolean;
}

export interface ChainSender {
  /** Seconds since 1970; undefined when the chain has no such block (any more). */
  blockTime(number: bigint): Promise<bigint | undefined>;
  /** Whether the token has taken the payer's authorization with this nonce (or the payer took it back), as of a block; absent: the newest. */
  authorizationState(payer: Address, nonce: Hex, block?: bigint): Promise<boolean>;
  /** Tries it without sending it. Undefined: it would be paid now; else what the token says. */
  simulateAuthorization(authorization: Authorization): Promise<string | undefined>;
  /** Units of gas to send the call with. A text when it would fail, or would take too much: why. */
  gasOf(call: ChainCall, from: Address): Promise<bigint | string>;
  /** What a transaction must offer to be mined soon. */
  fees(): Promise<Fees>;
  /** How many transactions the chain has taken from the address, as of a block; absent: the newest. */
  transactionCount(address: Address, block?: bigint): Promise<bigint>;
  /** Money for transactions, in wei. */
  nativeBalance(address: Address): Promise<bigint>;
  /** Undefined while it is in no block that all endpoints know; `newest`: the last such block, when the caller knows it. */
  receiptOf(hash: Hex, newest?: bigint): Promise<MinedTransaction | undefined>;
  /** Which transaction of the address was taken under the nonce in a block up to `block`; undefined: none was found. */
  nonceTaker(address: Address, nonce: bigint, block: bigint): Promise<Hex | undefined>;
  /** Undefined when an endpoint took it; else what they said, for the log alone. Never rejects. */
  send(raw: Hex): Promise<string | undefined>;
}

/** `priorityWeiMax`: what goes to whoever builds the block is never more for a unit of gas. */
export function senderOf(
  clients: PublicClient[],
  places: CallPlaces & { priorityWeiMax?: bigint | undefined },
): ChainSender {
  const token = { address: places.token, abi: CALLS_ABI } as const;
  const at = async (block?: bigint): Promise<bigint> => block ?? (await commonHead(clients)).number;
  return {
    blockTime: (number) => agreed(clients, `time of block ${number}`, (client) => timeOf(client, number)),
    async authorizationState(payer, nonce, block) {
      const blockNumber = await at(block);
      return agreed(clients, `authorization ${nonce}`, (client) =>
        client.readContract({ ...token, functionName: 'authorizationState', args: [payer, nonce], blockNumber }),
      );
    },
    async simulateAuthorization(authorization) {
      const { to, data, gasMax } = encodeCall({ kind: 'authorization', authorization }, places);
      return refusalOf(() => clients[0]!.call({ to, data, gas: gasMax }));
    },
    async gasOf(call, from) {
      const { to, data, gasMax } = encodeCall(call, places);
      let gas = 0n;
      const refusal = await refusalOf(async () => {
        gas = withRoom(await clients[0]!.estimateGas({ account: from, to, data }));
      });
      return refusal ?? (gas <= gasMax ? gas : `it takes ${gas} units of gas, more than the ${gasMax} that it may`);
    },
    fees: () => suggestedFees(clients, places.priorityWeiMax),
    async transactionCount(address, block) {
      const blockNumber = await at(block);
      const count = await agreed(clients, `transaction count of ${address}`, (client) =>
        client.getTransactionCount({ address, blockNumber }),
      );
      return BigInt(count);
    },
    async nativeBalance(address) {
      const blockNumber = await at();
      return agreed(clients, `native balance of ${address}`, (client) => client.getBalance({ address, blockNumber }));
    },
    receiptOf: async (hash, newest) => minedTransaction(clients, hash, await at(newest)),
    nonceTaker: (address, nonce, block) => nonceTaker(clients, { address, nonce, block }),
    send: (raw) => sendToAll(clients, raw),
  };
}

/** For what changes between the estimate and the block. */
const withRoom = (gas: bigint): bigint => (gas * GAS_QUARTERS) / QUARTERS;

async function timeOf(client: PublicClient, blockNumber: bigint): Promise<bigint | undefined> {
  try {
    return (await client.getBlock({ blockNumber })).timestamp;
  } catch (fault) {
    if ((fault as Error).name === 'BlockNotFoundError') return undefined;
    throw fault;
  }
}

/** Undefined when the contract lets it pass. @errors rejects with ChainFault when nobody could be asked */
async function refusalOf(attempt: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (fault) {
    if (fault instanceof BaseError && isRefusal(fault))
      return tokenWords(fault) ?? (fault.details || fault.shortMessage);
    throw unreachable(fault);
  }
}

/** The chain heard it and said no; anything else is the chain not being heard. */
const REFUSALS = new Set(['ExecutionRevertedError', 'InsufficientFundsError', 'RawContractError']);
const isRefusal = (fault: BaseError): boolean =>
  fault.walk((cause) => REFUSALS.has((cause as Error).name)) !== null ||
  /revert/i.test(`${fault.shortMessage} ${fault.details}`);

/** One that is behind has none yet: a block that not all of them know does not count. */
async function minedTransaction(
  clients: PublicClient[],
  hash: Hex,
  newest: bigint,
): Promise<MinedTransaction | undefined> {
  return agreed(clients, `receipt of ${hash}`, async (client) => {
    const found = await client.getTransactionReceipt({ hash }).catch((fault: Error) => {
      if (fault.name === 'TransactionReceiptNotFoundError') return undefined;
      throw fault;
    });
    if (!found || found.blockNumber > newest) return undefined;
    return { block: { number: found.blockNumber, hash: found.blockHash }, succeeded: found.status === 'success' };
  });
}

/** "Already known", "nonce too low", "underpriced": the same words come for what is mined, waits, or never will be. */
async function sendToAll(clients: PublicClient[], serializedTransaction: Hex): Promise<string | undefined> {
  const said = await Promise.all(
    clients.map((client) =>
      reached(() => client.sendRawTransaction({ serializedTransaction })).then(
        () => undefined,
        (fault: Error) => fault.message,
      ),
    ),
  );
  return said.includes(undefined) ? undefined : said.join('; ');
}
