/**
 * The one message by which a wallet lets somebody else carry its dollars: ERC-3009 `TransferWithAuthorization`, signed by EIP-712.
 * Promise: nothing else can be signed here; a signature has one spelling, and a second one for the same message is refused.
 * @source EIP-712, ERC-3009
 */
import { recoverSigner, signDigest } from './ethereum.ts';
import { keccak256 } from './hashes.ts';

/** What a signature is good for: one token, on one chain, as the token names itself. */
export interface TokenDomain {
  name: string;
  version: string;
  /** EIP-155. */
  chainId: bigint;
  /** Address of the token. */
  verifyingContract: string;
}

export interface TransferAuthorization {
  /** Addresses: 0x and 40 hex digits. */
  from: string;
  to: string;
  /** In the token's smallest units. */
  value: bigint;
  /** Seconds since 1970; carried out only in a block whose time is after the first and before the second. */
  validAfter: bigint;
  validBefore: bigint;
  /** 0x and 64 hex digits; the token takes each once per `from`. */
  nonce: string;
}

const WORD_BYTES = 32;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const WORD = /^0x[0-9a-fA-F]{64}$/;
const DOMAIN_TYPE = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)';
const MESSAGE_TYPE =
  'TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)';

const textHash = (text: string): Uint8Array => keccak256(Buffer.from(text, 'utf8'));

/** @errors throws RangeError below 0 and from 2^256 on */
function uintWord(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 256n) throw new RangeError(`${value} is no uint256`);
  return Buffer.from(value.toString(16).padStart(2 * WORD_BYTES, '0'), 'hex');
}

/** @errors throws TypeError unless it is 0x and 40 hex digits */
function addressWord(address: string): Uint8Array {
  if (!ADDRESS.test(address)) throw new TypeError('an address is 0x and 40 hex characters');
  return Buffer.from(address.slice(2).padStart(2 * WORD_BYTES, '0'), 'hex');
}

/** @errors throws TypeError unless it is 0x and 64 hex digits */
function word(hex: string): Uint8Array {
  if (!WORD.test(hex)) throw new TypeError('32 bytes are 0x and 64 hex characters');
  return Buffer.from(hex.slice(2), 'hex');
}

function domainHash({ name, version, chainId, verifyingContract }: TokenDomain): Uint8Array {
  const parts = [textHash(DOMAIN_TYPE), textHash(name), textHash(version), uintWord(chainId)];
  return keccak256(Buffer.concat([...parts, addressWord(verifyingContract)]));
}

function messageHash({ from, to, value, validAfter, validBefore, nonce }: TransferAuthorization): Uint8Array {
  const times = [uintWord(validAfter), uintWord(validBefore)];
  return keccak256(
    Buffer.concat([textHash(MESSAGE_TYPE), addressWord(from), addressWord(to), uintWord(value), ...times, word(nonce)]),
  );
}

/** The 32 bytes that are signed. @errors throws TypeError or RangeError for a member that does not fit its type */
export const transferAuthorizationHash = (domain: TokenDomain, message: TransferAuthorization): Uint8Array =>
  keccak256(Buffer.concat([Buffer.from([0x19, 0x01]), domainHash(domain), messageHash(message)]));

/**
 * 65 bytes in hex with v 27 or 28; deterministic (RFC 6979). Whose key it is nobody checks: `from` must be its address.
 * @errors as `transferAuthorizationHash`
 */
export const signTransferAuthorization = (
  domain: TokenDomain,
  message: TransferAuthorization,
  privateKey: Uint8Array,
): string => signDigest(transferAuthorizationHash(domain, message), privateKey);

/** Who signed, as an EIP-55 address; undefined as `verifyPersonalSignature`. Compare it with `from`. @errors as `transferAuthorizationHash` */
export const recoverTransferAuthorization = (
  domain: TokenDomain,
  message: TransferAuthorization,
  signatureHex: string,
): string | undefined => recoverSigner(transferAuthorizationHash(domain, message), signatureHex);
