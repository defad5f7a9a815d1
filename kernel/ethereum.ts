/**
 * Ethereum addresses and personal signatures (EIP-55, EIP-191).
 * Promise: a signature has one spelling; a second one for the same message is refused.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak256 } from './hashes.ts';

const SIGNATURE = /^0x[0-9a-fA-F]{130}$/;
const COMPACT_BYTES = 64;
const RECOVERY_OFFSET = 27;

/**
 * The EIP-55 form of an address in any case.
 * @errors throws TypeError unless it is 0x and 40 hex characters
 */
export function checksumAddress(address: string): string {
  if (!/^0x[0-9a-fA-F]{40}$/.test(address)) throw new TypeError('an address is 0x and 40 hex characters');
  const lower = address.slice(2).toLowerCase();
  const hash = Buffer.from(keccak256(Buffer.from(lower))).toString('hex');
  return `0x${Array.from(lower, (char, i) => (Number.parseInt(hash[i]!, 16) >= 8 ? char.toUpperCase() : char)).join('')}`;
}

/**
 * Who signed the message with `personal_sign`, as an EIP-55 address; undefined for a malformed signature, a high s,
 * or a v other than 0, 1, 27, 28. A signature of other text recovers another address: compare it.
 */
export const verifyPersonalSignature = (message: string | Uint8Array, signatureHex: string): string | undefined =>
  recoverSigner(personalHash(message), signatureHex);

/** Who signed these 32 bytes; undefined as above. */
export function recoverSigner(digest: Uint8Array, signatureHex: string): string | undefined {
  if (!SIGNATURE.test(signatureHex)) return undefined;
  const bytes = Buffer.from(signatureHex.slice(2), 'hex');
  const v = bytes[COMPACT_BYTES]!;
  const recovery = v >= RECOVERY_OFFSET ? v - RECOVERY_OFFSET : v;
  if (recovery !== 0 && recovery !== 1) return undefined;
  try {
    const signature = secp256k1.Signature.fromBytes(Uint8Array.from(bytes.subarray(0, COMPACT_BYTES)), 'compact');
    if (signature.hasHighS()) return undefined;
    const point = signature.addRecoveryBit(recovery).recoverPublicKey(digest);
    return addressOfPoint(point.toBytes(false));
  } catch {
    return undefined;
  }
}

/** `personal_sign` of a wallet: 65 bytes in hex with v 27 or 28; deterministic (RFC 6979). */
export const signPersonal = (message: string | Uint8Array, privateKey: Uint8Array): string =>
  signDigest(personalHash(message), privateKey);

/** 65 bytes in hex over these 32, as above. For named messages only: who signs any digest signs anything. */
export function signDigest(digest: Uint8Array, privateKey: Uint8Array): string {
  const options = { prehash: false, format: 'recovered' } as const;
  const recovered = Buffer.from(secp256k1.sign(digest, privateKey, options));
  const v = RECOVERY_OFFSET + recovered[0]!;
  return `0x${recovered.toString('hex', 1)}${v.toString(16)}`;
}

/** @errors throws when the 32 bytes are no secp256k1 private key */
export const addressOfPrivateKey = (privateKey: Uint8Array): string =>
  addressOfPoint(secp256k1.getPublicKey(privateKey, false));

function addressOfPoint(uncompressed: Uint8Array): string {
  const hash = keccak256(uncompressed.subarray(1));
  return checksumAddress(`0x${Buffer.from(hash.subarray(12)).toString('hex')}`);
}

function personalHash(message: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(message);
  return keccak256(Buffer.concat([Buffer.from(`\x19Ethereum Signed Message:\n${bytes.length}`), bytes]));
}
