/**
 * Whether the contracts that stand on a chain are the ones that the settings mean.
 * Promise: nothing is received at an address that nothing can sweep, nor for a token that would refuse what is signed for it; what is
 * wrong is told with the setting, what it must be and what the chain says.
 */
import {
  type Address,
  BaseError,
  decodeFunctionResult,
  encodeFunctionData,
  type Hex,
  keccak256,
  type PublicClient,
  parseAbi,
} from 'viem';
import { artifactOf } from './artifacts.ts';
import type { ChainConfig } from './chain.ts';
import { agreed, ChainFault } from './endpoints.ts';

/** A micro is the smallest part of the token. */
const TOKEN_DECIMALS = 6;
const TOKEN_ABI = parseAbi([
  'function name() view returns (string)',
  'function version() view returns (string)',
  'function decimals() view returns (uint8)',
]);
/** Of what a token says of itself. */
const TOLD_CHARS_MAX = 66;
const FACTORY_SOURCE = 'engine/adapters/chain/contracts/Forwarder.sol';

/** @errors rejects with ChainFault: `misconfigured` names the setting, what it must be and what the chain says */
export async function assertContracts(clients: PublicClient[], config: ChainConfig): Promise<void> {
  await assertToken(clients, config);
  await assertFactory(clients, config.factory);
}

/** What a ledger took a chain with at first: for ever, or it would mix two treasuries in one account. */
export interface Places {
  token: string;
  treasury: string;
  factory: string;
}

const SETTING_OF: Record<keyof Places, string> = {
  token: 'CHAIN_TOKEN',
  treasury: 'CHAIN_TREASURY',
  factory: 'CHAIN_FACTORY',
};

/** As the ledger writes them. */
export const placesOf = ({ token, treasury, factory }: ChainConfig): Places => ({
  token: token.toLowerCase(),
  treasury: treasury.toLowerCase(),
  factory: factory.toLowerCase(),
});

/** @errors throws ChainFault `misconfigured` when the settings name other places than the ledger */
export function assertPlaces(config: ChainConfig, recorded: Places): void {
  const places = placesOf(config);
  for (const place of ['token', 'treasury', 'factory'] as const)
    if (places[place] !== recorded[place])
      throw misconfigured(
        `the setting ${SETTING_OF[place]} is ${places[place]}; it must be ${recorded[place]}, with which the ledger has taken this chain`,
      );
}

const misconfigured = (sentence: string): ChainFault => new ChainFault('misconfigured', sentence);

const codeAt = (clients: PublicClient[], address: Address): Promise<Hex | undefined> =>
  agreed(clients, `code of ${address}`, (client) => client.getCode({ address }));

/** Signatures over another name or version would all be refused by the token; with other decimals a micro is another amount. */
async function assertToken(clients: PublicClient[], { token, tokenName, tokenVersion }: ChainConfig): Promise<void> {
  if ((await codeAt(clients, token)) === undefined)
    throw misconfigured(`the setting CHAIN_TOKEN is ${token}; it must be a token, and no contract stands there`);
  const said = (what: TokenWord) => agreed(clients, `token's ${what}`, (client) => tokenSays(client, token, what));
  const [name, version, decimals] = [await said('name'), await said('version'), await said('decimals')];
  if (name !== tokenName)
    throw misconfigured(`the setting CHAIN_TOKEN_NAME is ${tokenName}; the token ${token} says ${told(name)}`);
  if (version !== tokenVersion)
    throw misconfigured(`the setting CHAIN_TOKEN_VERSION is ${tokenVersion}; the token ${token} says ${told(version)}`);
  if (decimals !== TOKEN_DECIMALS)
    throw misconfigured(
      `the setting CHAIN_TOKEN is ${token}; its decimals must be ${TOKEN_DECIMALS}, and it says ${told(decimals)}`,
    );
}

/** On one line, whatever the token says. */
const told = (word: string | number | undefined): string =>
  word === undefined ? 'nothing' : JSON.stringify(word).slice(0, TOLD_CHARS_MAX);

type TokenWord = 'name' | 'version' | 'decimals';

/** Undefined when the contract has no such word, or another type of it. @errors rejects when the endpoint does not answer */
async function tokenSays(client: PublicClient, to: Address, functionName: TokenWord) {
  const call = client.call({ to, data: encodeFunctionData({ abi: TOKEN_ABI, functionName }) });
  const { data } = await call.catch((fault: Error) => {
    if (isRevert(fault)) return { data: undefined };
    throw fault;
  });
  try {
    return data && decodeFunctionResult({ abi: TOKEN_ABI, functionName, data });
  } catch {
    return undefined;
  }
}

const isRevert = (fault: unknown): boolean =>
  fault instanceof BaseError &&
  (fault.walk((cause) => (cause as Error).name === 'ExecutionRevertedError') !== null || /revert/i.test(fault.details));

/**
 * Byte for byte: the factory has no immutables, and what makes the forwarders is a part of its code, from which deposit addresses are
 * computed. Another factory would make others, and nothing could sweep these.
 */
async function assertFactory(clients: PublicClient[], factory: Address): Promise<void> {
  const wanted = artifactOf('ForwarderFactory').deployed;
  const code = await codeAt(clients, factory);
  if (code?.toLowerCase() === wanted) return;
  const found = code === undefined ? 'no contract stands there' : `the code there has the hash ${keccak256(code)}`;
  throw misconfigured(
    `the setting CHAIN_FACTORY is ${factory}; it must be the ForwarderFactory of ${FACTORY_SOURCE} (code hash ${keccak256(wanted)}), and ${found}`,
  );
}
