/**
 * Ed25519 under one strict profile.
 * Promise: a key, an R or an S that some verifier would read in another way is refused, whatever the runtime accepts.
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256Hex } from './hashes.ts';

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const KEY_ID_CHARS = 32;
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** The field prime 2^255 - 19 and the group order, big-endian hex so that they compare as text. */
const FIELD_PRIME = '7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed';
const GROUP_ORDER = '1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed';

/** The y of all points whose order divides 8, big-endian hex: 0, 1, -1 and the two of order 8. */
const SMALL_ORDER_Y = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000001',
  '7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec',
  '05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826',
  '7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7',
]);

export interface SigningKey {
  /** 32 hex characters of the SHA-256 of the public key: a hint which key to try, never an authority. */
  id: string;
  /** 32 bytes. */
  publicKey: Buffer;
  /** 64 bytes. */
  sign(bytes: Uint8Array): Buffer;
}

/** @errors throws TypeError unless the seed has 32 bytes */
export function signingKeyFromSeed(seed: Uint8Array): SigningKey {
  if (seed.length !== KEY_BYTES) throw new TypeError(`an Ed25519 seed has ${KEY_BYTES} bytes, this has ${seed.length}`);
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES);
  return { id: keyIdOf(publicKey), publicKey, sign: (bytes) => sign(null, bytes, privateKey) };
}

/** The `id` of the signing key with this public key. */
export const keyIdOf = (publicKeyRaw: Uint8Array): string => sha256Hex(publicKeyRaw).slice(0, KEY_ID_CHARS);

/** False for anything malformed; never throws. */
export function verifyEd25519(publicKeyRaw: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (publicKeyRaw.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const [r, s] = [signature.subarray(0, KEY_BYTES), signature.subarray(KEY_BYTES)];
  if (!hasGoodY(publicKeyRaw) || !hasGoodY(r) || bigEndianHex(s) >= GROUP_ORDER) return false;
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKeyRaw]), format: 'der', type: 'spki' });
    return verify(null, bytes, key, signature);
  } catch {
    return false;
  }
}

/**
 * For the registration of a key: a canonical point of the prime-order group.
 * @errors throws TypeError saying which of length, spelling, curve or order is wrong
 */
export function assertGoodPublicKey(publicKeyRaw: Uint8Array): void {
  if (publicKeyRaw.length !== KEY_BYTES)
    throw new TypeError(`an Ed25519 public key has ${KEY_BYTES} bytes, this has ${publicKeyRaw.length}`);
  if (!hasGoodY(publicKeyRaw)) throw new TypeError('the public key is not canonical or has a small order');
  if (!isOfPrimeOrder(publicKeyRaw)) throw new TypeError('the public key is not a point of the prime-order group');
}

function isOfPrimeOrder(encoded: Uint8Array): boolean {
  try {
    return ed25519.Point.fromBytes(Uint8Array.from(encoded), false).isTorsionFree();
  } catch {
    return false;
  }
}

/** Canonical (below the field prime) and not of small order, with either sign of x. */
function hasGoodY(encoded: Uint8Array): boolean {
  const y = Buffer.from(encoded);
  y[KEY_BYTES - 1]! &= 0x7f;
  const hex = bigEndianHex(y);
  return hex < FIELD_PRIME && !SMALL_ORDER_Y.has(hex);
}

const bigEndianHex = (littleEndian: Uint8Array): string => Buffer.from(littleEndian).reverse().toString('hex');
