/**
 * A private key at rest: Web3 Secret Storage version 3, as geth, foundry and ethers read it.
 * Promise: the key is never written in clear, and a wrong passphrase or a changed file is told, not used.
 */
import {
  createCipheriv,
  createDecipheriv,
  pbkdf2,
  randomBytes,
  randomUUID,
  scrypt,
  timingSafeEqual,
} from 'node:crypto';
import { promisify } from 'node:util';
import { scryptAsync } from '@noble/hashes/scrypt.js';
import { keccak_256 } from '@noble/hashes/sha3.js';

const CIPHER = 'aes-128-ctr';
const KEY_BYTES = 32;
const CIPHER_KEY_BYTES = 16;
const MAC_HEX_CHARS = 64;
/** What a new file costs to try one passphrase: 128 MiB. */
export const SCRYPT_N = 131_072;
const SCRYPT_R = 8;
/** The most memory that opening a file may take, 1 GiB: 128 * n * r. */
const SCRYPT_BYTES_MAX = 2 ** 30;
/** The most work: a GiB gone through once, or less memory as often again. n * r * p. */
const SCRYPT_WORK_MAX = SCRYPT_BYTES_MAX / 128;
const SCRYPT_P_MAX = 16;
const PBKDF2_ROUNDS_MAX = 10_000_000;
const SCRYPT_SLACK_BYTES = 64 * 1024 * 1024;

export interface ScryptParams {
  dklen: number;
  n: number;
  r: number;
  p: number;
  salt: string;
}

export interface Pbkdf2Params {
  dklen: number;
  c: number;
  prf: 'hmac-sha256';
  salt: string;
}

/** The file. Hex strings have no 0x. */
export interface Keystore {
  version: 3;
  id: string;
  /** 40 lower-case hex digits; files of other programs may lack it. */
  address?: string;
  crypto: {
    cipher: typeof CIPHER;
    ciphertext: string;
    cipherparams: { iv: string };
    mac: string;
  } & ({ kdf: 'scrypt'; kdfparams: ScryptParams } | { kdf: 'pbkdf2'; kdfparams: Pbkdf2Params });
}

/** Why a keystore could not be opened. */
export class KeystoreError extends Error {
  readonly code: 'keystore_malformed' | 'passphrase_wrong';

  constructor(code: KeystoreError['code'], sentence: string) {
    super(sentence);
    this.name = 'KeystoreError';
    this.code = code;
  }
}

/**
 * Encrypts a key. `scryptN` (a power of two) is for tests; the default takes about half a second.
 * @source Web3 Secret Storage, version 3
 * @example const file = await sealKey(privateKey, address, passphrase);
 */
export async function sealKey(
  privateKey: Uint8Array,
  address: string,
  passphrase: string,
  scryptN: number = SCRYPT_N,
): Promise<Keystore> {
  const kdfparams = { dklen: KEY_BYTES, n: scryptN, r: SCRYPT_R, p: 1, salt: randomBytes(KEY_BYTES).toString('hex') };
  const derived = await deriveByScrypt(passphrase, kdfparams);
  const iv = randomBytes(CIPHER_KEY_BYTES);
  const cipher = createCipheriv(CIPHER, derived.subarray(0, CIPHER_KEY_BYTES), iv);
  const ciphertext = Buffer.concat([cipher.update(privateKey), cipher.final()]);
  return {
    version: 3,
    id: randomUUID(),
    address: address.replace(/^0x/, '').toLowerCase(),
    crypto: {
      cipher: CIPHER,
      ciphertext: ciphertext.toString('hex'),
      cipherparams: { iv: iv.toString('hex') },
      kdf: 'scrypt',
      kdfparams,
      mac: macOf(derived, ciphertext).toString('hex'),
    },
  };
}

/**
 * The 32 bytes of the key.
 * @errors KeystoreError `keystore_malformed` (also for work beyond the named limits) or `passphrase_wrong`
 */
export async function openKey(file: unknown, passphrase: string): Promise<Buffer> {
  const { crypto } = readKeystore(file);
  const derived = await (crypto.kdf === 'scrypt'
    ? deriveByScrypt(passphrase, crypto.kdfparams)
    : deriveByPbkdf2(passphrase, crypto.kdfparams));
  const ciphertext = Buffer.from(crypto.ciphertext, 'hex');
  if (!timingSafeEqual(macOf(derived, ciphertext), Buffer.from(crypto.mac, 'hex')))
    throw new KeystoreError('passphrase_wrong', 'The passphrase does not open this keystore.');
  const decipher = createDecipheriv(
    CIPHER,
    derived.subarray(0, CIPHER_KEY_BYTES),
    Buffer.from(crypto.cipherparams.iv, 'hex'),
  );
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}

/** Checks the shape of a parsed file. @errors KeystoreError `keystore_malformed` naming the member */
export function readKeystore(value: unknown): Keystore {
  const file = asRecord(value, 'the file');
  if (file['version'] !== 3) throw malformed('version is not 3');
  const crypto = asRecord(file['crypto'] ?? file['Crypto'], 'crypto');
  if (crypto['cipher'] !== CIPHER) throw malformed(`crypto.cipher is not ${CIPHER}`);
  const kdf = readKdf(crypto['kdf'], asRecord(crypto['kdfparams'], 'crypto.kdfparams'));
  const iv = hexOf(
    asRecord(crypto['cipherparams'], 'crypto.cipherparams')['iv'],
    'crypto.cipherparams.iv',
    2 * CIPHER_KEY_BYTES,
  );
  return {
    version: 3,
    id: typeof file['id'] === 'string' ? file['id'] : '',
    ...(typeof file['address'] === 'string' ? { address: file['address'].replace(/^0x/, '').toLowerCase() } : {}),
    crypto: {
      cipher: CIPHER,
      ciphertext: hexOf(crypto['ciphertext'], 'crypto.ciphertext', 2 * KEY_BYTES),
      cipherparams: { iv },
      mac: hexOf(crypto['mac'], 'crypto.mac', MAC_HEX_CHARS),
      ...kdf,
    },
  };
}

type Kdf = { kdf: 'scrypt'; kdfparams: ScryptParams } | { kdf: 'pbkdf2'; kdfparams: Pbkdf2Params };

function readKdf(kdf: unknown, params: Record<string, unknown>): Kdf {
  const salt = hexOf(params['salt'], 'crypto.kdfparams.salt');
  const dklen = countOf(params['dklen'], 'crypto.kdfparams.dklen', KEY_BYTES);
  if (dklen !== KEY_BYTES) throw malformed(`crypto.kdfparams.dklen is not ${KEY_BYTES}`);
  if (kdf === 'scrypt') {
    const n = countOf(params['n'], 'crypto.kdfparams.n', SCRYPT_BYTES_MAX);
    const r = countOf(params['r'], 'crypto.kdfparams.r', SCRYPT_BYTES_MAX);
    if (128 * n * r > SCRYPT_BYTES_MAX)
      throw malformed(`scrypt asks for ${128 * n * r} bytes, the cap is ${SCRYPT_BYTES_MAX}`);
    if (n < 2 || !Number.isInteger(Math.log2(n))) throw malformed('crypto.kdfparams.n is no power of two');
    const p = countOf(params['p'], 'crypto.kdfparams.p', SCRYPT_P_MAX);
    if (n * r * p > SCRYPT_WORK_MAX)
      throw malformed(`scrypt asks for n * r * p = ${n * r * p} of work, the cap is ${SCRYPT_WORK_MAX}`);
    return { kdf, kdfparams: { dklen, n, r, p, salt } };
  }
  if (kdf !== 'pbkdf2') throw malformed('crypto.kdf is neither scrypt nor pbkdf2');
  if (params['prf'] !== 'hmac-sha256') throw malformed('crypto.kdfparams.prf is not hmac-sha256');
  return {
    kdf,
    kdfparams: { dklen, c: countOf(params['c'], 'crypto.kdfparams.c', PBKDF2_ROUNDS_MAX), prf: 'hmac-sha256', salt },
  };
}

const deriveNatively = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
  scrypt,
);
const deriveRounds = promisify(pbkdf2);

/** OpenSSL refuses n >= 2^(16 r), which a published vector has; the pure implementation takes it. */
async function deriveByScrypt(passphrase: string, { dklen, n, r, p, salt }: ScryptParams): Promise<Buffer> {
  const saltBytes = Buffer.from(salt, 'hex');
  if (n >= 2 ** (16 * r))
    return Buffer.from(
      await scryptAsync(passphrase, saltBytes, { N: n, r, p, dkLen: dklen, maxmem: 2 * SCRYPT_BYTES_MAX }),
    );
  return deriveNatively(passphrase, saltBytes, dklen, { N: n, r, p, maxmem: 128 * n * r + SCRYPT_SLACK_BYTES });
}

const deriveByPbkdf2 = (passphrase: string, { dklen, c, salt }: Pbkdf2Params): Promise<Buffer> =>
  deriveRounds(passphrase, Buffer.from(salt, 'hex'), c, dklen, 'sha256');

const macOf = (derived: Buffer, ciphertext: Buffer): Buffer =>
  Buffer.from(keccak_256(Buffer.concat([derived.subarray(CIPHER_KEY_BYTES, KEY_BYTES), ciphertext])));

function malformed(what: string): KeystoreError {
  return new KeystoreError('keystore_malformed', `This is no keystore that can be opened: ${what}.`);
}

function asRecord(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${name} is no object`);
  return value as Record<string, unknown>;
}

function hexOf(value: unknown, name: string, chars?: number): string {
  if (typeof value !== 'string' || !/^(?:[0-9a-fA-F]{2})+$/.test(value)) throw malformed(`${name} is no hex`);
  if (chars !== undefined && value.length !== chars) throw malformed(`${name} has not ${chars} hex digits`);
  return value;
}

function countOf(value: unknown, name: string, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw malformed(`${name} is no count`);
  if (value > max) throw malformed(`${name} is ${value}, the cap is ${max}`);
  return value;
}
