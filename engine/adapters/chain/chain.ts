/**
 * What the house reads of an EVM chain: its head, its headers, and who sent dollars to which of our addresses.
 * Promise: answers of several endpoints agree, or nothing is answered; logs belong to the headers they came with.
 */
import {
  type Address,
  encodeAbiParameters,
  getContractAddress,
  type Hex,
  keccak256,
  type PublicClient,
  toBytes,
} from 'viem';
import { artifactOf } from './artifacts.ts';
import { balancesReader, type ReadBalances } from './balances.ts';
import { type ContractWallets, contractWalletsOf } from './contract-wallet.ts';
import { assertContracts } from './contracts.ts';
import { agreed, type BlockRef, clientsOf, commonHead, headerOf } from './endpoints.ts';
import { type ChainSender, senderOf } from './sender.ts';
import { type TransferSeen, transfersIn, transfersOf } from './transfers.ts';

const GENESIS_DIGITS = 16;
const HEX_PREFIX_CHARS = 2;

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
  /** Whoever builds a block is offered no more for a unit of gas; absent: 20 gwei. */
  priorityWeiMax?: bigint;
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
  /** The same of many, all of one block, with few questions. */
  balancesOf: ReadBalances;
}

/** @errors rejects with ChainFault: `misconfigured` names the setting, what it must be and what the chain says */
export async function openChain(config: ChainConfig): Promise<Chain> {
  const clients = clientsOf(config.rpcUrls);
  const chainId = await agreed(clients, 'chain id', (client) => client.getChainId());
  const genesis = await agreed(
    clients,
    'genesis hash',
    async (client) => (await client.getBlock({ blockNumber: 0n })).hash,
  );
  await assertContracts(clients, config);
  const key = `eip155:${chainId}/${genesis.slice(HEX_PREFIX_CHARS, HEX_PREFIX_CHARS + GENESIS_DIGITS)}`;
  return chainOf(clients, config, { key, chainId });
}

function chainOf(
  clients: PublicClient[],
  config: ChainConfig,
  { key, chainId }: Pick<Chain, 'key' | 'chainId'>,
): Chain {
  const balancesOf = balancesReader(clients, config.token);
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
    balanceOf: async (address, block) => (await balancesOf([address], block))[0]!,
    balancesOf,
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
