/**
 * What the house reads of an EVM chain: its head, its headers, and who sent dollars to which of our addresses.
 * Promise: answers of several endpoints agree, or nothing is answered; logs belong to the headers they came with.
 */
import {
  type Address,
  encodeAbiParameters,
  getAddress,
  getContractAddress,
  type Hex,
  keccak256,
  type PublicClient,
  parseAbi,
  toBytes,
  toEventSelector,
} from 'viem';
import { artifactOf } from './artifacts.ts';
import { type ContractWallets, contractWalletsOf } from './contract-wallet.ts';
import { agreed, type BlockRef, ChainFault, clientsOf, commonHead, headerOf } from './endpoints.ts';
import { type ChainSender, senderOf } from './sender.ts';

/** Addresses in one question for logs; more are asked in parts. */
const PAYEES_PER_QUESTION_MAX = 500;
const GENESIS_DIGITS = 16;
const HEX_PREFIX_CHARS = 2;
export const TOKEN_DECIMALS = 6;

const TOKEN_ABI = parseAbi([
  'function name() view returns (string)',
  'function version() view returns (string)',
  'function decimals() view returns (uint8)',
  'function balanceOf(address account) view returns (uint256)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
  'event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)',
]);
const TRANSFER = TOKEN_ABI[4];
const AUTHORIZATION_USED_TOPIC = toEventSelector(TOKEN_ABI[5]);

export interface ChainConfig {
  /** JSON-RPC endpoints; all of them are asked, and must agree. */
  rpcUrls: readonly string[];
  token: Address;
  /** What the token must say of itself. */
  tokenName: string;
  tokenVersion: string;
  /** Where deposits are gathered. */
  treasury: Address;
  /** Makes depositors' addresses. */
  factory: Address;
}

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

export interface Chain extends ChainSender, ContractWallets {
  /** `eip155:<chain id>/<first digits of the genesis hash>`: a chain that was reset is another chain. */
  readonly key: string;
  readonly chainId: number;
  readonly config: ChainConfig;
  head(): Promise<BlockRef>;
  /** Undefined when the chain has no such block (any more). */
  header(number: bigint): Promise<BlockRef | undefined>;
  /** Transfers to `payees` in the blocks `from` to `to`, in order. */
  transfers(from: bigint, to: bigint, payees: readonly Address[]): Promise<TransferSeen[]>;
  /** Transfers to `payee` in one transaction; empty while it is in no block. */
  transfersIn(tx: Hex, payee: Address): Promise<TransferSeen[]>;
  /** The address at which `principal` receives: known before anything stands there. */
  depositAddress(principal: string): Address;
  /** What the factory makes that address of. */
  saltOf(principal: string): Hex;
  /** Micros of the token, as of a block; absent: the newest. Endpoints may know only the last blocks' balances. */
  balanceOf(address: Address, block?: bigint): Promise<bigint>;
}

/** @errors rejects with ChainFault: `misconfigured` names what the token says and what the settings say */
export async function openChain(config: ChainConfig): Promise<Chain> {
  const clients = clientsOf(config.rpcUrls);
  const chainId = await agreed(clients, 'chain id', (client) => client.getChainId());
  const genesis = await agreed(
    clients,
    'genesis hash',
    async (client) => (await client.getBlock({ blockNumber: 0n })).hash,
  );
  await assertToken(clients, config);
  const key = `eip155:${chainId}/${genesis.slice(HEX_PREFIX_CHARS, HEX_PREFIX_CHARS + GENESIS_DIGITS)}`;
  return chainOf(clients, config, { key, chainId });
}

function chainOf(
  clients: PublicClient[],
  config: ChainConfig,
  { key, chainId }: Pick<Chain, 'key' | 'chainId'>,
): Chain {
  const token = { address: config.token, abi: TOKEN_ABI } as const;
  return {
    ...senderOf(clients, config),
    ...contractWalletsOf(clients),
    key,
    chainId,
    config,
    head: () => commonHead(clients),
    header: (number) => agreed(clients, `header ${number}`, (client) => headerOf(client, number)),
    transfers: (from, to, payees) =>
      agreed(clients, `transfers in ${from} to ${to}`, (client) =>
        transfersOf(client, config.token, { from, to, payees }),
      ),
    transfersIn: (tx, payee) =>
      agreed(clients, `transfers in ${tx}`, (client) => transfersIn(client, config.token, { tx, payee })),
    saltOf,
    depositAddress: (principal) => depositAddressOf(config, principal),
    balanceOf: (address, block) =>
      agreed(clients, `balance of ${address}`, (client) =>
        client.readContract({
          ...{ ...token, functionName: 'balanceOf', args: [address] },
          ...(block === undefined ? {} : { blockNumber: block }),
        }),
      ),
  };
}

/** Salted with the principal, so that nobody has to remember it. */
export function depositAddressOf(
  { factory, treasury }: Pick<ChainConfig, 'factory' | 'treasury'>,
  principal: string,
): Address {
  const creation = `${artifactOf('Forwarder').bytecode}${encodeAbiParameters([{ type: 'address' }], [treasury]).slice(HEX_PREFIX_CHARS)}`;
  return getContractAddress({ opcode: 'CREATE2', from: factory, salt: saltOf(principal), bytecode: creation as Hex });
}

export const saltOf = (principal: string): Hex => keccak256(toBytes(principal));

interface Range {
  from: bigint;
  to: bigint;
  payees: readonly Address[];
}

async function transfersOf(client: PublicClient, token: Address, { from, to, payees }: Range): Promise<TransferSeen[]> {
  const blocks = { address: token, fromBlock: from, toBlock: to, strict: true } as const;
  const parts: Address[][] = [];
  for (let at = 0; at < payees.length; at += PAYEES_PER_QUESTION_MAX)
    parts.push(payees.slice(at, at + PAYEES_PER_QUESTION_MAX));
  const found = await Promise.all(
    parts.map((part) => client.getLogs({ ...blocks, event: TRANSFER, args: { to: part } })),
  );
  const logs = found.flat().filter(({ args }) => args.value > 0n);
  const seen = await Promise.all(logs.map((log) => placed(client, token, log)));
  return seen
    .sort((a, b) => Number(a.block.number - b.block.number) || a.at - b.at)
    .map(({ at, ...transfer }) => transfer);
}

async function transfersIn(
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

interface TransferLog {
  transactionHash: Hex;
  blockNumber: bigint;
  blockHash: Hex;
  logIndex: number;
  args: { from: Address; to: Address; value: bigint };
}

/** The transaction's own receipt says where among its logs this one stands, and by which authorization it was moved. */
async function placed(client: PublicClient, token: Address, log: TransferLog): Promise<TransferSeen & { at: number }> {
  const { logs, blockHash } = await client.getTransactionReceipt({ hash: log.transactionHash });
  if (blockHash !== log.blockHash)
    throw new ChainFault('disagreement', `${log.transactionHash} moved to another block`);
  const before = logs.filter(({ address, logIndex }) => sameAddress(address, token) && logIndex < log.logIndex);
  const used = before.findLast(
    ({ topics }) =>
      topics[0] === AUTHORIZATION_USED_TOPIC &&
      topics[1]?.endsWith(log.args.from.slice(HEX_PREFIX_CHARS).toLowerCase()),
  );
  return {
    tx: log.transactionHash,
    ordinal: log.logIndex - logs[0]!.logIndex,
    block: { number: log.blockNumber, hash: log.blockHash },
    payer: lower(log.args.from),
    payee: lower(log.args.to),
    micros: log.args.value,
    authorization: used?.topics[2],
    at: log.logIndex,
  };
}

const lower = (address: Address): Address => address.toLowerCase() as Address;
const sameAddress = (a: Address, b: Address): boolean => getAddress(a) === getAddress(b);

/** Signatures over another name or version would all be refused by the token. */
async function assertToken(clients: PublicClient[], { token, tokenName, tokenVersion }: ChainConfig): Promise<void> {
  const code = await agreed(clients, `code of ${token}`, (client) => client.getCode({ address: token }));
  if (code === undefined) throw new ChainFault('misconfigured', `no contract stands at the token's address ${token}`);
  const read = (functionName: 'name' | 'version' | 'decimals') =>
    agreed(clients, `token's ${functionName}`, (client) =>
      client.readContract({ address: token, abi: TOKEN_ABI, functionName }),
    );
  const [name, version, decimals] = [await read('name'), await read('version'), await read('decimals')];
  const wrong = [
    ['name', name, tokenName],
    ['version', version, tokenVersion],
    ['decimals', decimals, TOKEN_DECIMALS],
  ].find(([, found, wanted]) => found !== wanted);
  if (!wrong) return;
  const [what, found, wanted] = wrong;
  throw new ChainFault('misconfigured', `the token ${token} says its ${what} is ${found}; the settings say ${wanted}`);
}
