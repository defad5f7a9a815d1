/**
 * The hashes the economy is built on.
 * Promise: several parts hash like their concatenation; strings hash as UTF-8.
 */
import { createHash } from 'node:crypto';
import { keccak_256 } from '@noble/hashes/sha3.js';

/** 32 bytes. */
export function sha256(...parts: (string | Uint8Array)[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** 64 lower-case hex characters. */
export function sha256Hex(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** A hash that grows with its input. Once `hex` was asked nothing can be added. */
export interface Sha256Stream {
  add(part: string | Uint8Array): void;
  /** 64 lower-case hex characters. */
  hex(): string;
}

export function createSha256(): Sha256Stream {
  const hash = createHash('sha256');
  return {
    add: (part) => {
      hash.update(part);
    },
    hex: () => hash.digest('hex'),
  };
}

/** 32 bytes; the hash of Ethereum, which is not SHA3-256. */
export const keccak256 = (bytes: Uint8Array): Uint8Array => keccak_256(bytes);
