/**
 * Whether a wallet that is a contract signed something: ERC-1271, and ERC-6492 for one that does not stand on the chain yet.
 * Promise: the contract's own answer or a fault, never a guess; nothing is written to the chain, and a hostile contract costs bounded gas.
 */
import {
  type Address,
  encodeDeployData,
  type Hex,
  hashMessage,
  isErc6492Signature,
  type PublicClient,
  parseErc6492Signature,
  zeroAddress,
} from 'viem';
import { artifactOf } from './artifacts.ts';
import { agreed, type BlockRef, ChainFault, commonHead, headerOf } from './endpoints.ts';

/** What somebody says that a wallet signed. */
export interface SignatureClaim {
  wallet: Address;
  /** Hash of what was signed; `personalDigest` makes that of a text. */
  digest: Hex;
  signature: Hex;
}

export interface SignatureVerdict {
  holds: boolean;
  /** As of which block the wallet was asked. */
  block: BlockRef;
}

export interface ContractWallets {
  /** False also when no contract stands there. @errors rejects with ChainFault, never guesses */
  signatureHolds(claim: SignatureClaim): Promise<SignatureVerdict>;
}

/** A wrapper of ERC-6492 brings what makes the wallet along. */
export const SIGNATURE_BYTES_MAX = 8_192;

/** More than the checking contract gives away: 5 million to make a wallet, 3 million to ask it. */
const CHECK_GAS = 9_000_000n;
/** Nobody's address. Not zero: some contracts take a caller of zero for a rehearsal and agree to everything. */
const ASKER: Address = '0x74616c6c79737469636b2061736b7320796f7521';
const WHOLE_HEX = /^0x(?:[0-9a-fA-F]{2})+$/;
const HEX_PREFIX_CHARS = 2;

/** The words of `contracts/SignatureCheck.sol`: no contract, does not hold, holds. */
const VERDICTS: Record<string, boolean> = { '1': false, '2': false, '3': true };

/** What `personal_sign` signs of a text (EIP-191). */
export const personalDigest = (text: string): Hex => hashMessage(text);

/** All endpoints are asked as of one block. */
export const contractWalletsOf = (clients: PublicClient[]): ContractWallets => ({
  async signatureHolds(claim) {
    const block = await commonHead(clients);
    const what = `signature of ${claim.wallet}`;
    const holds = await agreed(clients, what, (client) => askWallet(client, claim, block.number));
    const after = await agreed(clients, `header ${block.number}`, (client) => headerOf(client, block.number));
    if (after?.hash !== block.hash) throw new ChainFault('disagreement', `block ${block.number} changed meanwhile`);
    return { holds, block };
  },
});

/** @errors rejects when the endpoint does not answer, or gives too little gas to ask in earnest */
async function askWallet(client: PublicClient, claim: SignatureClaim, blockNumber: bigint): Promise<boolean> {
  const parts = partsOf(claim.signature);
  if (!parts) return false;
  const { abi, bytecode } = artifactOf('SignatureCheck');
  const args = [claim.wallet, claim.digest, parts.factory, parts.making, parts.inner];
  const data = encodeDeployData({ abi, bytecode, args });
  const { data: word } = await client.call({ account: ASKER, data, gas: CHECK_GAS, blockNumber });
  const verdict = VERDICTS[String(BigInt(word ?? '0x0'))];
  if (verdict === undefined) throw new Error(`it gave too little gas to ask the wallet ${claim.wallet} (${word})`);
  return verdict;
}

interface Parts {
  /** Zero: the signature brings nothing that makes the wallet. */
  factory: Address;
  making: Hex;
  inner: Hex;
}

/** Undefined for what no wallet can have signed: half a byte, too many of them, or a wrapper around nothing. */
function partsOf(signature: Hex): Parts | undefined {
  if (!WHOLE_HEX.test(signature) || signature.length > HEX_PREFIX_CHARS + 2 * SIGNATURE_BYTES_MAX) return undefined;
  if (!isErc6492Signature(signature)) return { factory: zeroAddress, making: '0x', inner: signature };
  try {
    const { address, data, signature: inner } = parseErc6492Signature(signature);
    return address === undefined || data === undefined ? undefined : { factory: address, making: data, inner };
  } catch {
    return undefined;
  }
}
