/**
 * The development chain: a real EVM with a dollar token, a faucet and a memory.
 * Promise: a transaction that was answered is there after a restart, in a block with the same hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type Address, encodeDeployData, getContractAddress, type Hex, parseEther } from 'viem';
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts';
import { artifactOf } from '../artifacts.ts';
import { type Evm, RpcFault, type RpcRequest, startEvm } from './evm.ts';
import { Faucet } from './faucet.ts';
import { type Genesis, Journal } from './journal.ts';

export const DEVELOPMENT_CHAIN_ID = 31_337;
/** What the token says of itself. */
export const DEVELOPMENT_TOKEN = { name: 'USD Coin', version: '1' };

const MS_PER_S = 1_000;
const ADDRESS_BYTES = 20;
const FAUCET_WEI = parseEther('1000000');
const DEPLOY_GAS = 5_000_000n;
const DEPLOY_FEE_WEI = 100_000_000_000n;
/** Methods that change what the chain is without a transaction: a journal could not tell them again. */
const UNJOURNALED = /^(hardhat|evm|anvil|debug|personal)_|^eth_(sendTransaction|sign|accounts)/;
const METHOD_NOT_FOUND = -32_601;
/** An idle chain has an empty block after so long, then after twice as long, and so on: time goes on there, too, and the journal stays short. */
const IDLE_FIRST_S = 15;
const IDLE_S_MAX = 600;

export interface DevelopmentChain extends Evm, Disposable {
  readonly chainId: number;
  /** The token that stands for dollars: ERC-20 with ERC-3009, 6 decimals. */
  readonly token: Address;
  /** Makes depositors' addresses. */
  readonly factory: Address;
  readonly faucet: Faucet;
  /** The machine itself, past the journal: what is done there is not remembered. */
  readonly evm: Evm;
}

export interface DevelopmentChainOptions {
  /** Where it is remembered; without one it is gone with the process. */
  journalFile?: string;
  /** Without transactions, blocks come all the same when somebody asks for the newest: what waits for a time would wait for ever. */
  hasIdleBlocks?: boolean;
  nowMs?: () => number;
}

/** Money of this chain is worth nothing: the key that gives it away need not be a secret. */
const faucetAccount = (): PrivateKeyAccount =>
  privateKeyToAccount(`0x${createHash('sha256').update('tallystick development faucet').digest('hex')}`);

const freshGenesis = (timeS: number): Genesis => ({ timeS, mark: `0x${randomBytes(ADDRESS_BYTES).toString('hex')}` });

export async function startDevelopmentChain(options: DevelopmentChainOptions = {}): Promise<DevelopmentChain> {
  const nowS = (): number => Math.floor((options.nowMs ?? Date.now)() / MS_PER_S);
  const journal =
    options.journalFile === undefined ? undefined : new Journal(options.journalFile, freshGenesis(nowS()));
  const giver = faucetAccount();
  const { timeS: genesisTimeS, mark } = journal?.genesis ?? freshGenesis(nowS());
  const endowed = { [giver.address]: FAUCET_WEI, [mark]: 1n };
  const evm = await startEvm({ chainId: DEVELOPMENT_CHAIN_ID, genesisTimeS, endowed });
  const writer = new BlockWriter(evm, journal, nowS);
  for (const entry of journal?.past ?? []) await writer.replay(entry);
  const [token, factory] = [0n, 1n].map((nonce) => getContractAddress({ from: giver.address, nonce })) as [
    Address,
    Address,
  ];
  const request = async (asked: RpcRequest): Promise<unknown> => {
    if (options.hasIdleBlocks && asked.method === 'eth_blockNumber') await writer.addWhenIdle();
    return answer(evm, writer, asked);
  };
  if ((journal?.past.length ?? 0) < 2) await deployAll(giver, request);
  const faucet = new Faucet({
    request,
    account: giver,
    token,
    tokenDomain: DEVELOPMENT_TOKEN,
    chainId: DEVELOPMENT_CHAIN_ID,
  });
  return {
    chainId: DEVELOPMENT_CHAIN_ID,
    token,
    factory,
    faucet,
    evm,
    request,
    [Symbol.dispose]: () => journal?.[Symbol.dispose](),
  };
}

async function answer(evm: Evm, writer: BlockWriter, asked: RpcRequest): Promise<unknown> {
  if (asked.method === 'eth_sendRawTransaction') return writer.add((asked.params as [string])[0]);
  if (asked.method === 'evm_mine') return writer.add(undefined);
  if (UNJOURNALED.test(asked.method)) throw new RpcFault(METHOD_NOT_FOUND, `no method ${asked.method} here`, null);
  return evm.request(asked);
}

/** Deployment is done once; one that was interrupted goes on where it stopped. */
async function deployAll(giver: PrivateKeyAccount, request: Evm['request']): Promise<void> {
  const contracts = [artifactOf('DevelopmentUsd'), artifactOf('ForwarderFactory')];
  const done = Number(await request({ method: 'eth_getTransactionCount', params: [giver.address, 'latest'] }));
  for (let nonce = done; nonce < contracts.length; nonce++) {
    const { abi, bytecode } = contracts[nonce]!;
    const raw = await giver.signTransaction({
      type: 'eip1559',
      chainId: DEVELOPMENT_CHAIN_ID,
      nonce,
      gas: DEPLOY_GAS,
      maxFeePerGas: DEPLOY_FEE_WEI,
      maxPriorityFeePerGas: 0n,
      data: encodeDeployData({ abi, bytecode }),
    });
    await request({ method: 'eth_sendRawTransaction', params: [raw] });
  }
}

/** One transaction, one block; one after another, so that the journal has the order of the chain. */
class BlockWriter {
  readonly #evm: Evm;
  readonly #journal: Journal | undefined;
  readonly #nowS: () => number;
  #last: Promise<unknown> = Promise.resolve();
  #lastTimeS = 0;
  /** Empty blocks since the last transaction. */
  #empty = 0;

  constructor(evm: Evm, journal: Journal | undefined, nowS: () => number) {
    this.#evm = evm;
    this.#journal = journal;
    this.#nowS = nowS;
  }

  /** The transaction's hash, or null for an empty block. @errors rejects with RpcFault when the chain refuses it */
  add(raw: string | undefined): Promise<Hex | null> {
    const adding = this.#last.then(() => this.#add(raw));
    this.#last = adding.catch(() => undefined);
    return adding;
  }

  /** An empty block, when the last one is too old. Nothing when the journal has little room left: that is for transactions. */
  async addWhenIdle(): Promise<void> {
    if (!this.#isIdle()) return;
    const adding = this.#last.then(() => (this.#isIdle() ? this.#add(undefined) : null));
    this.#last = adding.catch(() => undefined);
    await adding;
  }

  #isIdle(): boolean {
    const afterS = Math.min(IDLE_FIRST_S * 2 ** this.#empty, IDLE_S_MAX);
    return this.#nowS() - this.#lastTimeS >= afterS && this.#journal?.isHalfFull !== true;
  }

  async replay({ timeS, raw }: { timeS: number; raw?: string }): Promise<void> {
    await this.#mine(timeS, raw);
  }

  async #add(raw: string | undefined): Promise<Hex | null> {
    const timeS = Math.max(this.#nowS(), this.#lastTimeS);
    const hash = await this.#mine(timeS, raw);
    this.#journal?.append({ timeS, ...(raw === undefined ? {} : { raw }) });
    return hash;
  }

  async #mine(timeS: number, raw: string | undefined): Promise<Hex | null> {
    await this.#evm.request({ method: 'evm_setNextBlockTimestamp', params: [timeS] });
    this.#lastTimeS = timeS;
    this.#empty = raw === undefined ? this.#empty + 1 : 0;
    if (raw !== undefined) return (await this.#evm.request({ method: 'eth_sendRawTransaction', params: [raw] })) as Hex;
    await this.#evm.request({ method: 'evm_mine', params: [] });
    return null;
  }
}
