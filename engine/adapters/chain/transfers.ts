/**
 * Who sent dollars to which of our addresses, as the token's logs and the receipts around them tell it.
 * Promise: each receipt is asked for and walked once, however many transfers stand in it; logs belong to the block they name.
 */
import { type Address, type Hex, type Log, type PublicClient, parseAbi, toEventSelector } from 'viem';
import { type BlockRef, ChainFault } from './endpoints.ts';

/** Addresses in one question for logs; more are asked in parts. */
const PAYEES_PER_QUESTION_MAX = 500;
/** Questions that are under way at once. */
const QUESTIONS_AT_ONCE = 16;
const ADDRESS_HEX_CHARS = 40;

const EVENTS_ABI = parseAbi([
  'event Transfer(address indexed from, address indexed to, uint256 value)',
  'event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)',
]);
const TRANSFER = EVENTS_ABI[0];
const TRANSFER_TOPIC = toEventSelector(EVENTS_ABI[0]);
const AUTHORIZATION_USED_TOPIC = toEventSelector(EVENTS_ABI[1]);

/** Dollars that arrived at one of our addresses. */
export interface TransferSeen {
  tx: Hex;
  /** Place among the transaction's own logs: the same in whatever block it is mined. */
  ordinal: number;
  block: BlockRef;
  payer: Address;
  payee: Address;
  micros: bigint;
  /** Nonce of the ERC-3009 authorization that moved it, if one did. */
  authorization: Hex | undefined;
}

interface Range {
  from: bigint;
  to: bigint;
  payees: readonly Address[];
}

interface TransferLog {
  transactionHash: Hex;
  blockNumber: bigint;
  blockHash: Hex;
  logIndex: number;
  args: { from: Address; to: Address; value: bigint };
}

/** Transfers to `payees` in the blocks `from` to `to`, in order. @errors rejects with ChainFault when a transaction moved meanwhile */
export async function transfersOf(client: PublicClient, token: Address, range: Range): Promise<TransferSeen[]> {
  const { from, to, payees } = range;
  const blocks = { address: token, fromBlock: from, toBlock: to, strict: true } as const;
  const found = await inGroups(partsOf(payees, PAYEES_PER_QUESTION_MAX), (part) =>
    client.getLogs({ ...blocks, event: TRANSFER, args: { to: part } }),
  );
  const logs = found.flat().filter(({ args }) => args.value > 0n);
  const byTransaction = [...Map.groupBy(logs, ({ transactionHash }) => transactionHash).values()];
  const seen = await inGroups(byTransaction, (ours) => placed(client, token, ours));
  return seen
    .flat()
    .sort((a, b) => Number(a.block.number - b.block.number) || a.at - b.at)
    .map(({ at, ...transfer }) => transfer);
}

/** Transfers to `payee` in one transaction; empty while it is in no block. */
export async function transfersIn(
  client: PublicClient,
  token: Address,
  { tx, payee }: { tx: Hex; payee: Address },
): Promise<TransferSeen[]> {
  const { blockNumber } = await client.getTransactionReceipt({ hash: tx }).catch((fault: Error) => {
    if (fault.name === 'TransactionReceiptNotFoundError') return { blockNumber: undefined };
    throw fault;
  });
  if (blockNumber === undefined) return [];
  const all = await transfersOf(client, token, { from: blockNumber, to: blockNumber, payees: [payee] });
  return all.filter((transfer) => transfer.tx === tx);
}

/** The transaction's own receipt says where among its logs each of ours stands, and by which authorization it was moved. */
async function placed(
  client: PublicClient,
  token: Address,
  ours: readonly TransferLog[],
): Promise<(TransferSeen & { at: number })[]> {
  const { transactionHash, blockHash: wanted } = ours[0]!;
  const { logs, blockHash } = await client.getTransactionReceipt({ hash: transactionHash });
  if (ours.some((log) => log.blockHash !== blockHash))
    throw new ChainFault('disagreement', `${transactionHash} moved out of block ${wanted}`);
  const used = authorizationsBefore(lower(token), logs, new Set(ours.map(({ logIndex }) => logIndex)));
  return ours.map(({ blockNumber, logIndex, args }) => ({
    tx: transactionHash,
    ordinal: logIndex - logs[0]!.logIndex,
    block: { number: blockNumber, hash: blockHash },
    payer: lower(args.from),
    payee: lower(args.to),
    micros: args.value,
    authorization: used.get(logIndex),
    at: logIndex,
  }));
}

/** For each of the wanted transfers the nonce that its payer used for it: an authorization moves the next transfer of its payer, and no other. */
function authorizationsBefore(
  token: string,
  logs: readonly Log<bigint, number, false>[],
  wanted: ReadonlySet<number>,
): Map<number, Hex> {
  const lastOf = new Map<string, Hex>();
  const found = new Map<number, Hex>();
  for (const { address, logIndex, topics } of logs) {
    if (address.toLowerCase() !== token) continue;
    const [what, who, nonce] = topics;
    if (what === AUTHORIZATION_USED_TOPIC && who && nonce) lastOf.set(addressIn(who), nonce);
    if (what !== TRANSFER_TOPIC || !who) continue;
    const used = lastOf.get(addressIn(who));
    lastOf.delete(addressIn(who));
    if (used && wanted.has(logIndex)) found.set(logIndex, used);
  }
  return found;
}

const addressIn = (topic: Hex): string => topic.slice(-ADDRESS_HEX_CHARS).toLowerCase();
const lower = (address: Address): Address => address.toLowerCase() as Address;

function partsOf<T>(all: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < all.length; at += size) parts.push(all.slice(at, at + size));
  return parts;
}

async function inGroups<T, A>(all: readonly T[], ask: (one: T) => Promise<A>): Promise<A[]> {
  const answers: A[] = [];
  for (const group of partsOf(all, QUESTIONS_AT_ONCE)) answers.push(...(await Promise.all(group.map(ask))));
  return answers;
}
