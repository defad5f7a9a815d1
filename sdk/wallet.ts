/**
 * Wallets that sign a login.
 * Promise: the private key stays inside; only an address and signatures come out.
 */
import { addressOfPrivateKey, signPersonal } from '@tallystick/kernel';

/** Something that signs EIP-191 personal messages: a key in memory, a hardware wallet, a browser wallet. */
export interface Signer {
  /** EIP-55 address. */
  address: string;
  /** The signature of `personal_sign`: 0x and hex digits. */
  signPersonal(message: string): Promise<string>;
}

/**
 * A signer that keeps the key in memory.
 * @errors throws when the 32 bytes are no secp256k1 private key
 * @example const signer = signerOfPrivateKey(crypto.getRandomValues(new Uint8Array(32)));
 */
export function signerOfPrivateKey(privateKey: Uint8Array): Signer {
  const key = Uint8Array.from(privateKey);
  const address = addressOfPrivateKey(key);
  return { address, signPersonal: async (message) => signPersonal(message, key) };
}
