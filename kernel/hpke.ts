/**
 * Sealing to a public key: RFC 9180 base mode, one message, X25519 + HKDF-SHA256 + AES-256-GCM.
 * Promise: what was sealed to another key, with other words beside it or with one bit changed does not open.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
} from 'node:crypto';

export const SEALING_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Bytes that sealing adds: the ephemeral key and the tag. */
export const SEAL_BYTES = SEALING_KEY_BYTES + TAG_BYTES;

const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');
const VERSION = Buffer.from('HPKE-v1');
/** KEM 0x0020, KDF 0x0001, AEAD 0x0002. */
const KEM_SUITE = Buffer.from('4b454d0020', 'hex');
const SUITE = Buffer.from('48504b45002000010002', 'hex');
const BASE_MODE = Buffer.from([0]);
const NOTHING = Buffer.alloc(0);

/** A key pair that others seal to; the private half leaves memory nowhere. */
export interface SealingKey {
  /** 32 bytes. */
  publicKey: Buffer;
  privateKey: KeyObject;
}

/** @errors throws TypeError unless the seed has 32 bytes */
export function sealingKeyFromSeed(seed: Uint8Array): SealingKey {
  if (seed.length !== SEALING_KEY_BYTES) throw new TypeError(`an X25519 seed has ${SEALING_KEY_BYTES} bytes`);
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-SEALING_KEY_BYTES);
  return { publicKey, privateKey };
}

export interface SealWords {
  /** What this kind of message is for: both sides must say the same. */
  info: Uint8Array;
  /** Bound to this message, not hidden. */
  aad: Uint8Array;
}

/**
 * `enc || ciphertext || tag`. `ephemeralSeed` is 32 fresh random bytes, used for nothing else, ever.
 * @errors throws TypeError for a recipient key that is no usable X25519 key
 */
export function seal(recipient: Uint8Array, ephemeralSeed: Uint8Array, words: SealWords, plain: Uint8Array): Buffer {
  const ephemeral = sealingKeyFromSeed(ephemeralSeed);
  const dh = agree(ephemeral.privateKey, recipient);
  if (!dh) throw new TypeError('the recipient key is no usable X25519 key');
  const { key, nonce } = keysFrom(dh, ephemeral.publicKey, recipient, words.info);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(words.aad);
  return Buffer.concat([ephemeral.publicKey, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined for whatever was not sealed to this key with these words. Never throws. */
export function unseal(recipient: SealingKey, words: SealWords, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < SEAL_BYTES) return undefined;
  const enc = sealed.subarray(0, SEALING_KEY_BYTES);
  const dh = agree(recipient.privateKey, enc);
  if (!dh) return undefined;
  const { key, nonce } = keysFrom(dh, enc, recipient.publicKey, words.info);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(words.aad);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(SEALING_KEY_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** Undefined for a key of the wrong length or of small order. */
function agree(privateKey: KeyObject, publicRaw: Uint8Array): Buffer | undefined {
  if (publicRaw.length !== SEALING_KEY_BYTES) return undefined;
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicRaw]), format: 'der', type: 'spki' });
    const shared = diffieHellman({ privateKey, publicKey });
    return shared.some((byte) => byte !== 0) ? shared : undefined;
  } catch {
    return undefined;
  }
}

const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
  parts.reduce((sum, part) => sum.update(part), createHmac('sha256', key)).digest();

const extract = (suite: Buffer, salt: Uint8Array, label: string, input: Uint8Array): Buffer =>
  hmac(salt, VERSION, suite, Buffer.from(label), input);

/** One block of HKDF-Expand: no key here is longer than a hash. */
function expand(suite: Buffer, key: Uint8Array, label: string, info: Uint8Array, bytes: number): Buffer {
  const length = Buffer.from([0, bytes]);
  return hmac(key, length, VERSION, suite, Buffer.from(label), info, Buffer.from([1])).subarray(0, bytes);
}

/** @source RFC 9180, sections 4.1 and 5.1 */
function keysFrom(dh: Uint8Array, enc: Uint8Array, recipient: Uint8Array, info: Uint8Array) {
  const context = Buffer.concat([enc, recipient]);
  const shared = expand(KEM_SUITE, extract(KEM_SUITE, NOTHING, 'eae_prk', dh), 'shared_secret', context, 32);
  const hashes = [extract(SUITE, NOTHING, 'psk_id_hash', NOTHING), extract(SUITE, NOTHING, 'info_hash', info)];
  const schedule = Buffer.concat([BASE_MODE, ...hashes]);
  const secret = extract(SUITE, shared, 'secret', NOTHING);
  const key = expand(SUITE, secret, 'key', schedule, 32);
  return { key, nonce: expand(SUITE, secret, 'base_nonce', schedule, NONCE_BYTES) };
}
