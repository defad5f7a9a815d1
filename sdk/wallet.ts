/**
 * Wallets that sign a login, and payments.
 * Promise: the private key stays inside; only an address and signatures come out.
 */
import { randomBytes } from 'node:crypto';
import {
  addressOfPrivateKey,
  signPersonal,
  signTransferAuthorization,
  type TokenDomain,
  type TransferAuthorization,
} from '@tallystick/kernel';

const PRIVATE_KEY_BYTES = 32;
const HEX_KEY = /^0x[0-9a-fA-F]{64}$/;

/** Something that signs EIP-191 personal messages and ERC-3009 transfers: a key in memory, a hardware wallet, a browser wallet. */
export interface Signer {
  /** EIP-55 address. */
  address: string;
  /** The signature of `personal_sign`: 0x and hex digits. */
  signPersonal(message: string): Promise<string>;
  /** The signature of an ERC-3009 transfer by EIP-712: 0x and hex digits. Absent: a wallet that pays nothing by itself. */
  signTransferAuthorization?(domain: TokenDomain, message: TransferAuthorization): Promise<string>;
}

/** What was given as a private key is none; what it was is not told, it may be one all the same. */
export class PrivateKeyError extends TypeError {
  readonly code = 'private_key_invalid';

  constructor(what: string) {
    super(`${what}: a private key is 0x and 64 hex digits, or 32 bytes, and a number below the order of secp256k1`);
    this.name = 'PrivateKeyError';
  }
}

/**
 * A fresh wallet: 0x and 64 hex digits. Whoever has it owns the account; nobody can recover it.
 * @example const signer = signerOfPrivateKey(newPrivateKey());
 */
export const newPrivateKey = (): string => `0x${randomBytes(PRIVATE_KEY_BYTES).toString('hex')}`;

/**
 * A signer that keeps the key in memory.
 * @param privateKey of an Ethereum account: 0x and 64 hex digits, or 32 bytes
 * @errors PrivateKeyError
 * @example const signer = signerOfPrivateKey(process.env.PRIVATE_KEY ?? newPrivateKey());
 */
export function signerOfPrivateKey(privateKey: Uint8Array | string): Signer {
  const key = bytesOf(privateKey);
  const address = addressOf(key);
  return {
    address,
    signPersonal: async (message) => signPersonal(message, key),
    signTransferAuthorization: async (domain, message) => signTransferAuthorization(domain, message, key),
  };
}

/** @errors PrivateKeyError */
function bytesOf(privateKey: Uint8Array | string): Uint8Array {
  if (privateKey instanceof Uint8Array) {
    if (privateKey.length === PRIVATE_KEY_BYTES) return Uint8Array.from(privateKey);
    throw new PrivateKeyError(`${privateKey.length} bytes were given`);
  }
  if (typeof privateKey !== 'string') throw new PrivateKeyError(`a value of type ${typeof privateKey} was given`);
  if (HEX_KEY.test(privateKey)) return Uint8Array.from(Buffer.from(privateKey.slice(2), 'hex'));
  throw new PrivateKeyError(`a text of ${privateKey.length} characters was given`);
}

/** @errors PrivateKeyError for zero, and for what is not below the order of the curve */
function addressOf(key: Uint8Array): string {
  try {
    return addressOfPrivateKey(key);
  } catch {
    throw new PrivateKeyError('a number out of range was given');
  }
}
