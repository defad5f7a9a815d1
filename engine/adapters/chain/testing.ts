/**
 * A development chain behind an endpoint, with hands to move money on it.
 * Promise: everything it does is a real transaction.
 */
import type { Server } from 'node:http';
import {
  type Abi,
  type Address,
  createWalletClient,
  custom,
  defineChain,
  encodeFunctionData,
  type Hex,
  type PrivateKeyAccount,
  parseAbi,
  type WalletClient,
} from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import type { Chain, ChainConfig } from './chain.ts';
import { type DevelopmentChain, startDevelopmentChain } from './embedded/chain.ts';
import { serveChain } from './embedded/server.ts';

export { artifactOf } from './artifacts.ts';
export { type Answer, startEndpoint, type TestEndpoint } from './testing-endpoint.ts';
export { cancelAuthorization, carryAuthorization, type PaymentTerms, signAuthorization } from './testing-payments.ts';

const ERC20 = parseAbi(['function transfer(address to, uint256 value) returns (bool)']);

export interface TestChain extends AsyncDisposable {
  readonly chain: DevelopmentChain;
  readonly url: string;
  readonly config: ChainConfig;
  /** A new key with tokens and money for transactions. */
  wallet(micros: bigint): Promise<PrivateKeyAccount>;
  /** Hash of a transfer of the dollar token, or of another. */
  pay(from: PrivateKeyAccount, to: Address, micros: bigint, token?: Address): Promise<Hex>;
  write(from: PrivateKeyAccount, call: Parameters<WalletClient['writeContract']>[0]): Promise<Hex>;
  signPayment(from: PrivateKeyAccount, to: Address, micros: bigint): Promise<Hex>;
  send(raw: Hex): Promise<Hex>;
  /** What happens until the answer is called is undone by it, as if other blocks had won. */
  snapshot(): Promise<() => Promise<void>>;
  deploy(from: PrivateKeyAccount, abi: Abi, bytecode: Hex): Promise<Address>;
  mine(blocks: number): Promise<void>;
  /** The clock of the chain goes ahead of ours, for every block from now on. */
  later(seconds: number): void;
}

export async function startTestChain(treasury: Address = newAddress()): Promise<TestChain> {
  let aheadMs = 0;
  const chain = await startDevelopmentChain({ nowMs: () => Date.now() + aheadMs });
  const { url, server } = await serveChain(chain, 0);
  const config: ChainConfig = {
    rpcUrls: [url],
    token: chain.token,
    tokenName: 'USD Coin',
    tokenVersion: '1',
    treasury,
    factory: chain.factory,
  };
  const description = defineChain({
    id: chain.chainId,
    name: 'development',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
  const clientOf = (account: PrivateKeyAccount): WalletClient =>
    createWalletClient({ account, chain: description, transport: custom(chain, { retryCount: 0 }) });
  return {
    chain,
    url,
    config,
    async wallet(micros) {
      const account = privateKeyToAccount(generatePrivateKey());
      await chain.faucet.give({ to: account.address, micros, reference: account.address, withGas: true });
      return account;
    },
    pay: (from, to, micros, token = chain.token) =>
      clientOf(from).writeContract({
        address: token,
        abi: ERC20,
        functionName: 'transfer',
        args: [to, micros],
        chain: description,
        account: from,
      }),
    write: (from, call) => clientOf(from).writeContract({ ...call, chain: description, account: from } as typeof call),
    async signPayment(from, to, micros) {
      const nonce = await chain.request({ method: 'eth_getTransactionCount', params: [from.address, 'latest'] });
      return from.signTransaction({
        type: 'eip1559',
        chainId: chain.chainId,
        nonce: Number(nonce),
        gas: 100_000n,
        maxFeePerGas: 100_000_000_000n,
        maxPriorityFeePerGas: 0n,
        to: chain.token,
        data: encodeFunctionData({ abi: ERC20, functionName: 'transfer', args: [to, micros] }),
      });
    },
    send: async (raw) => (await chain.request({ method: 'eth_sendRawTransaction', params: [raw] })) as Hex,
    async snapshot() {
      const id = await chain.evm.request({ method: 'evm_snapshot', params: [] });
      return async () => {
        await chain.evm.request({ method: 'evm_revert', params: [id] });
      };
    },
    async deploy(from, abi, bytecode) {
      const hash = await clientOf(from).deployContract({ abi, bytecode, chain: description, account: from });
      const receipt = (await chain.request({ method: 'eth_getTransactionReceipt', params: [hash] })) as {
        contractAddress: Address;
      };
      return receipt.contractAddress;
    },
    async mine(blocks) {
      for (let mined = 0; mined < blocks; mined++) await chain.request({ method: 'evm_mine' });
    },
    later(seconds) {
      aheadMs += seconds * 1_000;
    },
    [Symbol.asyncDispose]: () => stop(server, chain),
  };
}

/** The same chain, with other answers about balances. */
export const withBalances = (chain: Chain, balanceOf: Chain['balanceOf']): Chain => ({
  ...chain,
  balanceOf,
  balancesOf: (addresses, block) => Promise.all(addresses.map((address) => balanceOf(address, block))),
});

export const newAddress = (): Address => privateKeyToAccount(generatePrivateKey()).address.toLowerCase() as Address;

async function stop(server: Server, chain: DevelopmentChain): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
  chain[Symbol.dispose]();
}
