/**
 * The faucet of a development chain, from another program.
 * Promise: the same reference is paid once, whatever is repeated.
 */
import type { Address, Hex } from 'viem';
import { ChainFault } from './endpoints.ts';

const FAUCET_MS_MAX = 10_000;
/** JSON-RPC's own code; some providers say it in words only. */
const METHOD_NOT_FOUND = -32_601;
const NO_SUCH_METHOD = /unsupported method|method .*not (found|supported|available)/i;

export interface FaucetGift {
  to: Address;
  micros: bigint;
  reference: string;
}

type Answer = { result?: Hex; error?: { code?: number; message: string } };

/**
 * Hash of the transaction that carried it, also when it was given before; undefined where the chain has no faucet.
 * @errors rejects with ChainFault
 */
export async function askFaucet(rpcUrl: string, { to, micros, reference }: FaucetGift): Promise<Hex | undefined> {
  const params = [{ to, micros: String(micros), reference, with_gas: false }];
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tally_fund', params });
  const headers = { 'content-type': 'application/json' };
  try {
    const signal = AbortSignal.timeout(FAUCET_MS_MAX);
    const response = await fetch(rpcUrl, { method: 'POST', headers, body, signal });
    const { result, error } = (await response.json()) as Answer;
    if (error && isUnknownMethod(error)) return undefined;
    if (result === undefined) throw new Error(error?.message ?? 'no answer');
    return result;
  } catch (cause) {
    throw new ChainFault('unreachable', `the faucet does not give: ${(cause as Error).message}`, { cause });
  }
}

const isUnknownMethod = ({ code, message }: NonNullable<Answer['error']>): boolean =>
  code === METHOD_NOT_FOUND || NO_SUCH_METHOD.test(message);
