/**
 * Somebody who pays a 402: asks over plain HTTP, signs with a wallet, sees what the chain says.
 * Promise: knows of the platform what a stranger knows, its answers and its chain.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Abi,
  createPublicClient,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  type PublicClient,
  parseAbi,
  toHex,
} from 'viem';
import { generatePrivateKey, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts';
import { type Platform, ROOT } from './platform.ts';
import { until } from './until.ts';

const TOKEN_ABI = parseAbi([
  'function balanceOf(address account) view returns (uint256)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
]);
const AUTHORIZATION = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const;
const USABLE_S = 300;
const ARTIFACTS = join(ROOT, 'engine', 'adapters', 'chain', 'derived', 'artifacts.json');
const WALLET = (JSON.parse(readFileSync(ARTIFACTS, 'utf8')) as Record<string, { abi: Abi; bytecode: Hex }>)[
  'DevelopmentWallet'
]!;

/** One way to pay, as a 402 offers it. */
export interface Accepted {
  scheme: string;
  network: `${string}:${string}`;
  asset: Hex;
  amount: string;
  payTo: Hex;
  maxTimeoutSeconds: number;
  extra: { name: string; version: string; quoteId: string; authNonce: Hex; creditAccount: string; label: string };
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

const decoded = (text: string | null): unknown => JSON.parse(Buffer.from(text ?? '', 'base64').toString());
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');

/** Who signs payments. */
export type Wallet = Pick<PrivateKeyAccount, 'address' | 'signTypedData'>;

/** What a 402 offers. */
export const offersIn = ({ headers }: Answer): Accepted[] =>
  (decoded(headers.get('payment-required')) as { accepts: Accepted[] }).accepts;

/** What a success says of its payment. */
export const paymentIn = ({ headers }: Answer) =>
  decoded(headers.get('payment-response')) as { success: boolean; transaction: Hex; payer: Hex; amount: string };

export interface Asked {
  key: string;
  payment?: string;
  signal?: AbortSignal;
}

/** Posts with an API key. @errors rejects when nobody answers */
export async function post(
  url: string,
  secret: string,
  body: unknown,
  { key, payment, signal }: Asked,
): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${secret}`,
      'content-type': 'application/json',
      'idempotency-key': key,
      ...(payment === undefined ? {} : { 'payment-signature': payment }),
    },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] };
}

export interface PaymentChange {
  accepted?: Partial<Accepted>;
  authorization?: Record<string, string>;
  signature?: Hex;
}

export interface SignedPayment {
  /** Value of the header PAYMENT-SIGNATURE. */
  header: string;
  args: readonly [Hex, Hex, bigint, bigint, bigint, Hex, Hex];
}

/** Signs one way to pay; what is changed is changed before it is signed. */
export async function signPayment(
  account: Wallet,
  offer: Accepted,
  change: PaymentChange = {},
): Promise<SignedPayment> {
  const accepted = { ...offer, ...change.accepted };
  const authorization = {
    from: account.address as string,
    to: offer.payTo as string,
    value: offer.amount,
    validAfter: '0',
    validBefore: String(Math.floor(Date.now() / 1_000) + USABLE_S),
    nonce: offer.extra.authNonce as string,
    ...change.authorization,
  };
  const { from, to, value, validAfter, validBefore, nonce } = authorization;
  const message = {
    ...{ from: from as Hex, to: to as Hex, nonce: nonce as Hex },
    ...{ value: BigInt(value), validAfter: BigInt(validAfter), validBefore: BigInt(validBefore) },
  };
  const signature =
    change.signature ??
    (await account.signTypedData({
      domain: {
        name: offer.extra.name,
        version: offer.extra.version,
        chainId: Number(offer.network.split(':')[1]),
        verifyingContract: offer.asset,
      },
      types: AUTHORIZATION,
      primaryType: 'TransferWithAuthorization',
      message,
    }));
  const { value: amount, validAfter: after, validBefore: before } = message;
  return {
    header: encoded({ x402Version: 2, accepted, payload: { signature, authorization } }),
    args: [message.from, message.to, amount, after, before, message.nonce, signature],
  };
}

/** The platform's development chain, as everybody sees it. */
export interface PayersChain {
  url: string;
  client: PublicClient;
  /** A new wallet with so many dollars. */
  wallet(micros: bigint): Promise<PrivateKeyAccount>;
  /** The wallet of a key that somebody has, with so many dollars. */
  fundKey(privateKey: Uint8Array, micros: bigint): Promise<PrivateKeyAccount>;
  /** A contract on the chain that pays what this key signs, with so many dollars (ERC-1271). */
  contractWallet(owner: PrivateKeyAccount, micros: bigint): Promise<Wallet>;
  balanceOf(token: Hex, address: Hex): Promise<bigint>;
  /** Somebody with gas carries a payment to the chain. Hash of the transaction. */
  carry(token: Hex, payment: SignedPayment): Promise<Hex>;
}

export async function payersChain(platform: Platform): Promise<PayersChain> {
  const url = await until('the chain is told', () => /chain ready: (\S+)/.exec(platform.said)?.[1]);
  const client = createPublicClient({ transport: http(url), cacheTime: 0 });
  const description = defineChain({
    id: await client.getChainId(),
    name: 'development',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
  const fund = async (to: Hex, micros: bigint, withGas = false): Promise<void> => {
    const gift = { to, micros: String(micros), reference: to, with_gas: withGas };
    await (client.request as (asked: { method: string; params: unknown[] }) => Promise<unknown>)({
      method: 'tally_fund',
      params: [gift],
    });
  };
  const wallet = async (micros: bigint, withGas = false): Promise<PrivateKeyAccount> => {
    const account = privateKeyToAccount(generatePrivateKey());
    await fund(account.address, micros, withGas);
    return account;
  };
  const writer = (account: PrivateKeyAccount) =>
    createWalletClient({ account, chain: description, transport: http(url) });
  return {
    url,
    client: client as PublicClient,
    wallet,
    balanceOf: (address, account) =>
      client.readContract({ address, abi: TOKEN_ABI, functionName: 'balanceOf', args: [account] }),
    async fundKey(privateKey, micros) {
      const account = privateKeyToAccount(toHex(privateKey));
      await fund(account.address, micros);
      return account;
    },
    async contractWallet(owner, micros) {
      const { abi, bytecode } = WALLET;
      const hash = await writer(await wallet(1n, true)).deployContract({ abi, bytecode, args: [owner.address] });
      const { contractAddress } = await client.waitForTransactionReceipt({ hash });
      await fund(contractAddress!, micros);
      return { address: contractAddress!, signTypedData: owner.signTypedData };
    },
    async carry(address, { args }) {
      return writer(await wallet(1n, true)).writeContract({
        address,
        abi: TOKEN_ABI,
        functionName: 'transferWithAuthorization',
        args,
      });
    },
  };
}
