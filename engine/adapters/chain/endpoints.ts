/**
 * The JSON-RPC endpoints of a chain, asked as one.
 * Promise: answers of several agree, or nothing is answered; the chain is as long as all of them know it.
 */
import { BaseError, createPublicClient, type Hex, http, type PublicClient } from 'viem';

const RPC_MS_MAX = 10_000;
const ADDRESSES = /\b(?:https?|wss?):\/\/\S+/gi;

/**
 * `unreachable`: no endpoint answered, or not in time; `disagreement`: endpoints, or logs and headers, say different things
 * (both: ask again later); `misconfigured`: the chain or its token is not what the settings say.
 */
export type ChainFaultKind = 'unreachable' | 'disagreement' | 'misconfigured';

export class ChainFault extends Error {
  readonly kind: ChainFaultKind;

  constructor(kind: ChainFaultKind, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.kind = kind;
  }
}

export interface BlockRef {
  number: bigint;
  hash: Hex;
}

/** @errors throws ChainFault without an endpoint */
export function clientsOf(rpcUrls: readonly string[]): PublicClient[] {
  if (rpcUrls.length === 0) throw new ChainFault('misconfigured', 'no JSON-RPC endpoint is set');
  return rpcUrls.map((url) =>
    createPublicClient({ transport: http(url, { retryCount: 0, timeout: RPC_MS_MAX, batch: true }), cacheTime: 0 }),
  );
}

/** One that is behind is not one that lies: the chain is as long as all of them know it. */
export async function commonHead(clients: PublicClient[]): Promise<BlockRef> {
  const numbers = await Promise.all(clients.map((client) => reached(() => client.getBlockNumber({ cacheTime: 0 }))));
  const lowest = numbers.reduce((least, number) => (number < least ? number : least));
  const header = await agreed(clients, `header ${lowest}`, (client) => headerOf(client, lowest));
  if (!header) throw new ChainFault('disagreement', `block ${lowest} was there and is not any more`);
  return header;
}

export async function headerOf(client: PublicClient, number: bigint): Promise<BlockRef | undefined> {
  try {
    const { hash } = await client.getBlock({ blockNumber: number });
    return { number, hash };
  } catch (fault) {
    if ((fault as Error).name === 'BlockNotFoundError') return undefined;
    throw fault;
  }
}

/** @errors rejects with ChainFault when one does not answer or two differ */
export async function agreed<T>(
  clients: PublicClient[],
  what: string,
  ask: (client: PublicClient) => Promise<T>,
): Promise<T> {
  const answers = await Promise.all(clients.map((client) => reached(() => ask(client))));
  const [first, ...others] = answers.map(textOf);
  if (others.some((other) => other !== first))
    throw new ChainFault('disagreement', `the endpoints differ in the ${what}`);
  return answers[0]!;
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_name, member: unknown) => (typeof member === 'bigint' ? `${member}n` : member)) ?? '';

/** @errors rejects with ChainFault `unreachable` instead of whatever the transport says */
export async function reached<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof ChainFault) throw cause;
    throw unreachable(cause);
  }
}

/** Without what the fault says at length: it names the endpoint, and with it the key that stands in its address. */
export function unreachable(fault: unknown): ChainFault {
  const said = fault instanceof BaseError ? fault.shortMessage : (fault as Error).name;
  return new ChainFault('unreachable', `the chain does not answer: ${said.replace(ADDRESSES, 'an endpoint')}`);
}
