/**
 * What many addresses hold of the token, with few questions.
 * Promise: answers of several endpoints agree, or nothing is answered; on a chain without Multicall3 each address is asked for by itself.
 */
import { type Address, type PublicClient, parseAbi } from 'viem';
import { agreed } from './endpoints.ts';

/** Where every chain that has Multicall3 has it. */
const MULTICALL: Address = '0xca11bde05977b3631167028862be2a173976ca11';
const BALANCE_ABI = parseAbi(['function balanceOf(address account) view returns (uint256)']);
/** In one question: far below what endpoints let a question cost. */
const TOGETHER_MAX = 500;
const SINGLES_AT_ONCE = 100;

/** Micros of the token, in the order of the addresses, as of a block; absent: the newest. */
export type ReadBalances = (addresses: readonly Address[], block?: bigint) => Promise<bigint[]>;

/** @errors what it returns rejects with ChainFault */
export function balancesReader(clients: PublicClient[], token: Address): ReadBalances {
  let hasMulticall: boolean | undefined;
  return async (addresses, block) => {
    const at = block === undefined ? {} : { blockNumber: block };
    const callOf = (address: Address) =>
      ({ address: token, abi: BALANCE_ABI, functionName: 'balanceOf', args: [address] }) as const;
    const together = (part: readonly Address[]): Promise<bigint[]> =>
      agreed(clients, `balances of ${part.length} addresses`, (client) =>
        client.multicall({
          ...{ contracts: part.map(callOf), multicallAddress: MULTICALL, allowFailure: false, batchSize: 0 },
          ...at,
        }),
      );
    const singly = (part: readonly Address[]): Promise<bigint[]> =>
      Promise.all(
        part.map((address) =>
          agreed(clients, `balance of ${address}`, (client) => client.readContract({ ...callOf(address), ...at })),
        ),
      );
    if (addresses.length <= 1) return singly(addresses);
    hasMulticall ??= (await agreed(clients, 'code of Multicall3', codeOf)) !== undefined;
    return hasMulticall ? inParts(addresses, TOGETHER_MAX, together) : inParts(addresses, SINGLES_AT_ONCE, singly);
  };
}

const codeOf = (client: PublicClient) => client.getCode({ address: MULTICALL });

async function inParts(
  addresses: readonly Address[],
  max: number,
  read: (part: readonly Address[]) => Promise<bigint[]>,
): Promise<bigint[]> {
  const found: bigint[] = [];
  for (let from = 0; from < addresses.length; from += max)
    found.push(...(await read(addresses.slice(from, from + max))));
  return found;
}
