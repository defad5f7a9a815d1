/**
 * An Ethereum virtual machine with blocks, in this process.
 * Promise: the same genesis time and the same transactions at the same times give the same hashes.
 */
import { createRequire } from 'node:module';
import { artifactOf } from '../artifacts.ts';

const HARDFORK = 'prague';
const BLOCK_GAS = 30_000_000n;
const TRANSACTION_GAS = 16_000_000n;
const BASE_FEE_WEI = 1_000_000_000n;
const COINBASE = Buffer.alloc(20, 0xc0);
/** Where every chain that has Multicall3 has it. */
const MULTICALL_ADDRESS = '0xca11bde05977b3631167028862be2a173976ca11';

export interface RpcRequest {
  method: string;
  params?: unknown;
}

export interface Evm {
  /** @errors rejects with RpcFault as the JSON-RPC error says */
  request(request: RpcRequest): Promise<unknown>;
}

export class RpcFault extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export interface EvmOptions {
  chainId: number;
  /** Seconds since 1970. */
  genesisTimeS: number;
  /** Who has native money from the beginning: address -> wei. */
  endowed: Record<string, bigint>;
}

/** The package is CommonJS with native parts; its types name more than is used here. */
// biome-ignore lint/suspicious/noExplicitAny: its API is not promised stable, and this file is its only importer
type Edr = any;

let shared: Promise<{ edr: Edr; context: Edr }> | undefined;

/** There can be one context in a process. */
async function load(): Promise<{ edr: Edr; context: Edr }> {
  const edr = createRequire(import.meta.url)('@nomicfoundation/edr') as Edr;
  const context = new edr.EdrContext();
  await context.registerProviderFactory(edr.L1_CHAIN_TYPE, edr.l1ProviderFactory());
  return { edr, context };
}

export async function startEvm({ chainId, genesisTimeS, endowed }: EvmOptions): Promise<Evm> {
  shared ??= load();
  const { edr, context } = await shared;
  const genesisState = edr.l1GenesisState(edr.l1HardforkFromString(HARDFORK));
  for (const [address, balance] of Object.entries(endowed))
    genesisState.push({ address: Buffer.from(address.slice(2), 'hex'), balance });
  const config = {
    allowBlocksWithSameTimestamp: true,
    allowUnlimitedContractSize: false,
    bailOnCallFailure: true,
    bailOnTransactionFailure: false,
    chainId: BigInt(chainId),
    coinbase: COINBASE,
    defaultTransactionGasLimit: TRANSACTION_GAS,
    genesisState,
    hardfork: HARDFORK,
    initialBaseFeePerGas: BASE_FEE_WEI,
    minGasPrice: 0n,
    mining: { autoMine: true, blockGasLimit: BLOCK_GAS, memPool: { order: 'Priority' } },
    network: { genesisBlockGasLimit: BLOCK_GAS, genesisBlockTime: BigInt(genesisTimeS) },
    networkId: BigInt(chainId),
    observability: {},
    ownedAccounts: [],
    precompileOverrides: [],
  };
  const silent = { enable: false, decodeConsoleLogInputsCallback: () => [], printLineCallback: () => undefined };
  const decoder = edr.ContractDecoder.withContracts({});
  const subscription = { subscriptionCallback: () => undefined };
  const provider = await context.createProvider(edr.L1_CHAIN_TYPE, config, silent, subscription, decoder);
  const evm: Evm = { request: (request) => ask(provider, request) };
  const { deployed } = artifactOf('DevelopmentMulticall');
  await evm.request({ method: 'hardhat_setCode', params: [MULTICALL_ADDRESS, deployed] });
  return evm;
}

interface Answer {
  result?: unknown;
  error?: { code: number; message: string; data?: { data?: unknown } };
}

async function ask(provider: Edr, { method, params = [] }: RpcRequest): Promise<unknown> {
  const { data } = await provider.handleRequest(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
  const { result, error } = (typeof data === 'string' ? JSON.parse(data) : data) as Answer;
  if (error) throw new RpcFault(error.code, error.message, error.data?.data ?? error.data);
  return result;
}
