/**
 * The compiled contracts, as programs need them.
 * Promise: read from the one file that `tools/solidity/compile.ts` writes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Abi, Hex } from 'viem';

export interface Artifact {
  abi: Abi;
  /** What creates the contract; constructor arguments follow it. */
  bytecode: Hex;
  /** What stands at its address afterwards. */
  deployed: Hex;
}

type ContractName =
  | 'DevelopmentUsd'
  | 'DevelopmentWallet'
  | 'DevelopmentWalletFactory'
  | 'DevelopmentMulticall'
  | 'Forwarder'
  | 'ForwarderFactory'
  | 'SignatureCheck';

const FILE = join(import.meta.dirname, 'derived', 'artifacts.json');

let read: Record<ContractName, Artifact> | undefined;

export function artifactOf(name: ContractName): Artifact {
  read ??= JSON.parse(readFileSync(FILE, 'utf8')) as Record<ContractName, Artifact>;
  return read[name];
}
