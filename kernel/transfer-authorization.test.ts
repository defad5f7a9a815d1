/** The one message that moves a wallet's dollars: a published-style vector, and what does not fit is refused. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  addressOfPrivateKey,
  recoverTransferAuthorization,
  signTransferAuthorization,
  type TokenDomain,
  type TransferAuthorization,
  transferAuthorizationHash,
} from './index.ts';

const KEY = Buffer.from('01'.repeat(32), 'hex');
const DOMAIN: TokenDomain = {
  name: 'USD Coin',
  version: '2',
  chainId: 8453n,
  verifyingContract: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913',
};
const MESSAGE: TransferAuthorization = {
  from: addressOfPrivateKey(KEY),
  to: `0x${'22'.repeat(20)}`,
  value: 1_500_000n,
  validAfter: 0n,
  validBefore: 1_790_000_000n,
  nonce: `0x${'33'.repeat(32)}`,
};

test('signs what viem signs', () => {
  assert.equal(
    `0x${Buffer.from(transferAuthorizationHash(DOMAIN, MESSAGE)).toString('hex')}`,
    '0x139a51a4dcaf17555de0979cbd10d84c1788013cc6f63a125717fb41654e7eec',
  );
  const signature = signTransferAuthorization(DOMAIN, MESSAGE, KEY);
  assert.equal(
    signature,
    '0x2a708d869e841bf807d30c5c30a8532140bfe37cb5b2f428be552e58d98a06fb258043fe87a773dade1f9d6aa7fb6893b4e6dc7b84e6e5a984e7cfa469903af11c',
  );
  assert.equal(recoverTransferAuthorization(DOMAIN, MESSAGE, signature), MESSAGE.from);
});

test('another member, another signer', () => {
  const signature = signTransferAuthorization(DOMAIN, MESSAGE, KEY);
  const others: [TokenDomain, TransferAuthorization][] = [
    [{ ...DOMAIN, name: 'USD coin' }, MESSAGE],
    [{ ...DOMAIN, version: '1' }, MESSAGE],
    [{ ...DOMAIN, chainId: 1n }, MESSAGE],
    [{ ...DOMAIN, verifyingContract: MESSAGE.to }, MESSAGE],
    [DOMAIN, { ...MESSAGE, from: MESSAGE.to }],
    [DOMAIN, { ...MESSAGE, to: MESSAGE.from }],
    [DOMAIN, { ...MESSAGE, value: 1_500_001n }],
    [DOMAIN, { ...MESSAGE, validAfter: 1n }],
    [DOMAIN, { ...MESSAGE, validBefore: 1_790_000_001n }],
    [DOMAIN, { ...MESSAGE, nonce: `0x${'34'.repeat(32)}` }],
  ];
  for (const [domain, message] of others)
    assert.notEqual(recoverTransferAuthorization(domain, message, signature), MESSAGE.from);
});

test('what is no address, no amount and no nonce is signed by nobody', () => {
  const wrong: Partial<TransferAuthorization>[] = [
    { to: '0x22' },
    { to: '22'.repeat(20) },
    { value: -1n },
    { value: 1n << 256n },
    { validBefore: -1n },
    { nonce: '0x33' },
    { nonce: `0x${'zz'.repeat(32)}` },
  ];
  for (const change of wrong)
    assert.throws(() => signTransferAuthorization(DOMAIN, { ...MESSAGE, ...change }, KEY), /TypeError|RangeError/);
});
