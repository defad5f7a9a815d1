/** The wallet's signature for a transfer is the one that other software makes, reads and takes. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  recoverTransferAuthorization,
  signTransferAuthorization,
  type TokenDomain,
  type TransferAuthorization,
  transferAuthorizationHash,
} from '@tallystick/kernel';
import fc from 'fast-check';
import { type Address, type Hex, hashTypedData, recoverTypedDataAddress } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';

const types = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const;

const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(hexOf);
const hexOf = (bytes: Uint8Array): Hex => `0x${Buffer.from(bytes).toString('hex')}`;
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
/** Viem leaves an empty name or version and chain 0 out of the domain; no token has those. */
const domains: fc.Arbitrary<TokenDomain> = fc.record({
  name: fc.string({ unit: 'grapheme', minLength: 1 }),
  version: fc.string({ minLength: 1 }),
  chainId: fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }),
  verifyingContract: hex(20),
});
const messages: fc.Arbitrary<TransferAuthorization> = fc.record({
  from: hex(20),
  to: hex(20),
  value: uint256,
  validAfter: uint256,
  validBefore: uint256,
  nonce: hex(32),
});
const keys = fc
  .bigInt({ min: 1n, max: 2n ** 250n })
  .map((key) => Buffer.from(key.toString(16).padStart(64, '0'), 'hex'));

/** In the words of the other library. */
const typed = (domain: TokenDomain, message: TransferAuthorization) => ({
  domain: { ...domain, verifyingContract: domain.verifyingContract as Address },
  types,
  primaryType: 'TransferWithAuthorization' as const,
  message: { ...message, from: message.from as Address, to: message.to as Address, nonce: message.nonce as Hex },
});

test('digest, signature and signer are those of viem, for any domain and message', async () => {
  await fc.assert(
    fc.asyncProperty(domains, messages, keys, async (domain, message, key) => {
      const account = privateKeyToAccount(hexOf(key));
      const theirs = typed(domain, message);
      assert.equal(hexOf(transferAuthorizationHash(domain, message)), hashTypedData(theirs));
      const signature = signTransferAuthorization(domain, message, key);
      assert.equal(signature, await account.signTypedData(theirs));
      assert.equal(recoverTransferAuthorization(domain, message, signature), account.address);
      assert.equal(await recoverTypedDataAddress({ ...theirs, signature: signature as Hex }), account.address);
    }),
    { numRuns: 25 },
  );
});
