// Ed25519 under the strict profile, and DSSE envelopes on it.
// Promise: forged, doubled and misspelled signatures each have a row.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { type Envelope, openEnvelope, signEnvelope } from './dsse.ts';
import { assertGoodPublicKey, keyIdOf, signingKeyFromSeed, verifyEd25519 } from './signatures.ts';

const key = signingKeyFromSeed(Buffer.alloc(32, 5));
const message = Buffer.from('paid until noon');
const signature = key.sign(message);
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

const little = (n: bigint): Buffer => Buffer.from(n.toString(16).padStart(64, '0'), 'hex').reverse();
const bigOf = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);

/** All encodings of points whose order divides 8, non-canonical ones included. */
function smallOrderKeys(): Buffer[] {
  const torsion = ed25519.Point.fromBytes(
    Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex'),
    false,
  );
  const points = Array.from({ length: 8 }, (_, i) =>
    i === 0 ? ed25519.Point.ZERO : torsion.multiplyUnsafe(BigInt(i)),
  );
  const canonical = points.map((point) => Buffer.from(point.toBytes()));
  const prime = 2n ** 255n - 19n;
  const spelled = [prime, prime + 1n].flatMap((y) => [little(y), little(y + 2n ** 255n)]);
  const signFlipped = [1n, prime - 1n].map((y) => little(y + 2n ** 255n));
  return [...canonical, ...spelled, ...signFlipped];
}

test('the RFC 8032 example verifies, and our own signatures do', () => {
  const rfc = signingKeyFromSeed(
    Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'),
  );
  assert.equal(rfc.publicKey.toString('hex'), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  assert.equal(rfc.sign(Buffer.alloc(0)).toString('hex').slice(0, 32), 'e5564300c360ac729086e2cc806e828a');
  assert.ok(verifyEd25519(key.publicKey, message, signature));
  assert.ok(!verifyEd25519(key.publicKey, Buffer.from('paid until one'), signature));
  assert.equal(key.id, keyIdOf(key.publicKey));
  assertGoodPublicKey(key.publicKey);
});

test('[I-33] a small-order key with a zero signature signs nothing', () => {
  const keys = smallOrderKeys();
  assert.equal(keys.length, 14);
  for (const small of keys) {
    for (const r of keys)
      assert.ok(!verifyEd25519(small, message, Buffer.concat([r, Buffer.alloc(32)])), small.toString('hex'));
    assert.throws(() => assertGoodPublicKey(small), /small order/);
    assert.ok(!verifyEd25519(key.publicKey, message, Buffer.concat([small, signature.subarray(32)])));
  }
});

test('an S beyond the group order is a second spelling and is refused', () => {
  const doubled = Buffer.concat([signature.subarray(0, 32), little(bigOf(signature.subarray(32)) + ORDER)]);
  assert.ok(!verifyEd25519(key.publicKey, message, doubled));
});

test('a key with a torsion part is refused at registration', () => {
  const torsion = ed25519.Point.fromBytes(
    Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex'),
    false,
  );
  const mixed = ed25519.Point.fromBytes(Uint8Array.from(key.publicKey), false).add(torsion).toBytes();
  assert.throws(() => assertGoodPublicKey(mixed), /prime-order/);
  assert.throws(() => assertGoodPublicKey(Buffer.alloc(31)), /32 bytes/);
  assert.throws(() => assertGoodPublicKey(little(2n)), /prime-order/, 'no point has this y');
});

test('whatever is flipped, nothing verifies and nothing throws', () => {
  const property = fc.property(fc.nat({ max: 95 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
    const bytes = Buffer.concat([key.publicKey, signature]);
    bytes[at]! ^= mask;
    assert.ok(!verifyEd25519(bytes.subarray(0, 32), message, bytes.subarray(32)));
  });
  fc.assert(property, { numRuns: 200 });
  assert.ok(!verifyEd25519(Buffer.alloc(0), message, signature));
  assert.ok(!verifyEd25519(key.publicKey, message, signature.subarray(1)));
  assert.throws(() => signingKeyFromSeed(Buffer.alloc(33)), TypeError);
});

const TYPE = 'application/vnd.tallystick.test+json';
const envelope = signEnvelope(TYPE, { b: 1, a: 'x' }, key);
const resigned = (payload: string): Envelope => {
  const bytes = Buffer.from(payload);
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${TYPE.length} ${TYPE} ${bytes.length} `), bytes]);
  return {
    payloadType: TYPE,
    payload: bytes.toString('base64'),
    signatures: [{ keyid: '', sig: key.sign(pae).toString('base64') }],
  };
};

test('an envelope opens under its type and key, beside other signatures', () => {
  assert.deepEqual(openEnvelope(envelope, TYPE, key.publicKey), { a: 'x', b: 1 });
  const foreign = signEnvelope(TYPE, { b: 1, a: 'x' }, signingKeyFromSeed(Buffer.alloc(32, 6))).signatures[0]!;
  assert.deepEqual(openEnvelope({ ...envelope, signatures: [foreign, ...envelope.signatures] }, TYPE, key.publicKey), {
    a: 'x',
    b: 1,
  });
  assert.deepEqual(openEnvelope(resigned('{"a":1}'), TYPE, key.publicKey), { a: 1 });
});

const BAD_ENVELOPES: [string, unknown][] = [
  ['of another type', { ...envelope, payloadType: 'other' }],
  ['with another payload', { ...envelope, payload: Buffer.from('{}').toString('base64') }],
  ['with padding dropped', { ...envelope, payload: envelope.payload.replace(/=+$/, '').concat('=') }],
  ['with url-safe base64', { ...envelope, payload: `${envelope.payload}_` }],
  ['without signatures', { ...envelope, signatures: [] }],
  ['with too many signatures', { ...envelope, signatures: Array.from({ length: 17 }, () => envelope.signatures[0]) }],
  ['with signed spaces', resigned('{ "a":1}')],
  ['with a signed duplicate', resigned('{"a":1,"a":1}')],
  ['with a signed float', resigned('{"a":1.5}')],
  ['with a signed array', resigned('[1]')],
  ['that is null', null],
  ['that is empty', {}],
  ['with a null signature', { ...envelope, signatures: [null] }],
];

for (const [what, bad] of BAD_ENVELOPES) {
  test(`an envelope ${what} does not open`, () => {
    assert.equal(openEnvelope(bad as Envelope, TYPE, key.publicKey), undefined);
  });
}

test('an envelope does not open under another key', () => {
  assert.equal(openEnvelope(envelope, TYPE, signingKeyFromSeed(Buffer.alloc(32, 6)).publicKey), undefined);
});
