/**
 * The development chain of a platform, past every program: wallets with money for transactions, and contracts.
 * Promise: everything it does is a real transaction over JSON-RPC.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Abi,
  type Address,
  createPublicClient,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  type PrivateKeyAccount,
  type PublicClient,
  parseAbi,
  type WalletClient,
} from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { type Platform, ROOT } from './platform.ts';

export const CHAIN_ID = 31_337;
/** The first contract of the development chain's giver: the same on every one of them. */
const TOKEN: Address = '0xfA693bA2eb36050160eAD27C898f91bA6BB9698a';
const TOKEN_ABI = parseAbi([
  'function balanceOf(address account) view returns (uint256)',
  'function transfer(address to, uint256 value) returns (bool)',
]);
const ARTIFACTS = join(ROOT, 'engine', 'adapters', 'chain', 'derived', 'artifacts.json');

export interface Artifact {
  abi: Abi;
  bytecode: Hex;
}

export const artifactOf = (name: string): Artifact =>
  (JSON.parse(readFileSync(ARTIFACTS, 'utf8')) as Record<string, Artifact>)[name]!;

export interface ChainHand {
  url: string;
  client: PublicClient;
  /** Micros of the token that stands for dollars. */
  dollarsOf(address: string): Promise<bigint>;
  /** Signs transactions for the account. */
  writer(account: PrivateKeyAccount): WalletClient;
  /** A new key with tokens and money for transactions. */
  wallet(micros?: bigint): Promise<PrivateKeyAccount>;
  /** Tokens and money for transactions, from the faucet. */
  fund(address: string, micros: bigint): Promise<void>;
  deploy(from: PrivateKeyAccount, contract: Artifact): Promise<Address>;
  /** Calls a contract in a transaction of its own. */
  send(from: PrivateKeyAccount, to: Address, data: Hex): Promise<void>;
  /** Sends tokens from a wallet that has them and money for transactions. Hash of the transaction. */
  pay(from: PrivateKeyAccount, to: string, micros: bigint): Promise<Hex>;
  /** One empty block. */
  mine(): Promise<void>;
}

/** @errors throws when the platform brought no chain of its own */
export function chainOf(platform: Platform): ChainHand {
  const url = /chain ready: (http:\/\/\S+)/.exec(platform.said)?.[1];
  if (!url) throw new Error('the platform said of no chain');
  const native = { name: 'Ether', symbol: 'ETH', decimals: 18 };
  const rpcUrls = { default: { http: [url] } };
  const chain = defineChain({ id: CHAIN_ID, name: 'development', nativeCurrency: native, rpcUrls });
  const client = createPublicClient({ transport: http(url), pollingInterval: 50 });
  const writer = (account: PrivateKeyAccount): WalletClient =>
    createWalletClient({ account, chain, transport: http(url) });
  const ask = async (method: string, params: unknown[]): Promise<void> => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const answer = (await (await fetch(url, { method: 'POST', body })).json()) as { error?: { message: string } };
    if (answer.error) throw new Error(answer.error.message);
  };
  const fund: ChainHand['fund'] = (address, micros) => {
    const gift = { to: address, micros: String(micros), reference: `fund ${address} ${micros}`, with_gas: true };
    return ask('tally_fund', [gift]);
  };
  return {
    url,
    client,
    writer,
    fund,
    dollarsOf: (address) =>
      client.readContract({ address: TOKEN, abi: TOKEN_ABI, functionName: 'balanceOf', args: [address as Address] }),
    async wallet(micros = 0n) {
      const account = privateKeyToAccount(generatePrivateKey());
      await fund(account.address, micros);
      return account;
    },
    async deploy(account, { abi, bytecode }) {
      const hash = await writer(account).deployContract({ abi, bytecode, account, chain });
      return (await client.waitForTransactionReceipt({ hash })).contractAddress!;
    },
    async send(account, to, data) {
      const hash = await writer(account).sendTransaction({ account, chain, to, data });
      await client.waitForTransactionReceipt({ hash });
    },
    async pay(account, to, micros) {
      const call = { address: TOKEN, abi: TOKEN_ABI, functionName: 'transfer', args: [to as Address, micros] } as const;
      const hash = await writer(account).writeContract({ account, chain, ...call });
      await client.waitForTransactionReceipt({ hash });
      return hash;
    },
    mine: () => ask('evm_mine', []),
  };
}
