/**
 * Gives development money away.
 * Promise: the same reference is paid once, whatever is repeated: the token itself refuses to use an authorization twice.
 */
import {
  type Address,
  createPublicClient,
  custom,
  encodeFunctionData,
  type Hex,
  keccak256,
  type PublicClient,
  parseAbi,
  parseEther,
  toBytes,
} from 'viem';
import type { PrivateKeyAccount } from 'viem/accounts';
import { artifactOf } from '../artifacts.ts';
import { TRANSFER_TYPES } from '../transfer-types.ts';
import type { Evm } from './evm.ts';

const GAS = 200_000n;
const FEE_WEI = 100_000_000_000n;
/** Enough for some hundred transactions of this chain. */
const GAS_MONEY_WEI = parseEther('1');
/** All that the faucet ever gives, in micros of the token. */
const SUPPLY_MICROS = 2n ** 62n;
const FOREVER = 2n ** 64n - 1n;
const TOKEN_ABI = parseAbi([
  'function authorizationState(address authorizer, bytes32 nonce) view returns (bool)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
  'function balanceOf(address account) view returns (uint256)',
  'event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)',
]);

export interface FaucetOptions {
  request: Evm['request'];
  account: PrivateKeyAccount;
  token: Address;
  tokenDomain: { name: string; version: string };
  chainId: number;
}

export interface Gift {
  to: Address;
  /** Micros of the token; 0 for none. */
  micros: bigint;
  /** The same one is paid once. */
  reference: string;
  /** Native money for transactions too, when there is little. */
  withGas: boolean;
}

export class Faucet {
  readonly #options: FaucetOptions;
  readonly #client: PublicClient;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: FaucetOptions) {
    this.#options = options;
    this.#client = createPublicClient({ transport: custom(options, { retryCount: 0 }) });
  }

  /** Hash of the transaction that carried the tokens; null when none were asked for. */
  give(gift: Gift): Promise<Hex | null> {
    const giving = this.#last.then(() => this.#give(gift));
    this.#last = giving.catch(() => undefined);
    return giving;
  }

  async #give({ to, micros, reference, withGas }: Gift): Promise<Hex | null> {
    if (withGas && (await this.#client.getBalance({ address: to })) < GAS_MONEY_WEI / 2n)
      await this.#send(to, GAS_MONEY_WEI, '0x');
    return micros > 0n ? this.#giveTokens(to, micros, keccak256(toBytes(reference))) : null;
  }

  async #giveTokens(to: Address, micros: bigint, nonce: Hex): Promise<Hex> {
    const { account, token, tokenDomain, chainId } = this.#options;
    const read = { address: token, abi: TOKEN_ABI } as const;
    const from = account.address;
    if (await this.#client.readContract({ ...read, functionName: 'authorizationState', args: [from, nonce] }))
      return this.#earlier(nonce);
    if ((await this.#client.readContract({ ...read, functionName: 'balanceOf', args: [from] })) < micros)
      await this.#mint();
    const message = { from, to, value: micros, validAfter: 0n, validBefore: FOREVER, nonce };
    const domain = { ...tokenDomain, chainId, verifyingContract: token };
    const primaryType = 'TransferWithAuthorization';
    const signature = await account.signTypedData({ domain, types: TRANSFER_TYPES, primaryType, message });
    const args = [from, to, micros, 0n, FOREVER, nonce, signature] as const;
    return this.#send(
      token,
      0n,
      encodeFunctionData({ abi: TOKEN_ABI, functionName: 'transferWithAuthorization', args }),
    );
  }

  async #earlier(nonce: Hex): Promise<Hex> {
    const { account, token } = this.#options;
    const [log] = await this.#client.getLogs({
      address: token,
      event: TOKEN_ABI[3],
      args: { authorizer: account.address, nonce },
      fromBlock: 0n,
    });
    return log!.transactionHash;
  }

  async #mint(): Promise<void> {
    const { account, token } = this.#options;
    const { abi } = artifactOf('DevelopmentUsd');
    await this.#send(
      token,
      0n,
      encodeFunctionData({ abi, functionName: 'mint', args: [account.address, SUPPLY_MICROS] }),
    );
  }

  async #send(to: Address, value: bigint, data: Hex): Promise<Hex> {
    const { account, chainId, request } = this.#options;
    const nonce = await this.#client.getTransactionCount({ address: account.address });
    const fees = { gas: GAS, maxFeePerGas: FEE_WEI, maxPriorityFeePerGas: 0n };
    const raw = await account.signTransaction({ type: 'eip1559', chainId, nonce, to, value, data, ...fees });
    return (await request({ method: 'eth_sendRawTransaction', params: [raw] })) as Hex;
  }
}
