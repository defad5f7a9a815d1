// Sealing to a key, what a machine says of itself, and keeping released values out of output.
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ATTESTATION_TYPE, type Attestation, verifyAttestation } from './attestation.ts';
import { signEnvelope } from './dsse.ts';
import { seal, sealingKeyFromSeed, unseal } from './hpke.ts';
import { MASK, redactionOf, redactor, spellingsOf } from './redaction.ts';
import { openSecret, SECRET_BYTES_MAX, sealSecret, secretCommitment } from './secret.ts';
import { signingKeyFromSeed } from './signatures.ts';

const bytes = (fill: number): Buffer => Buffer.alloc(32, fill);
const recipient = sealingKeyFromSeed(bytes(7));
const WORDS = { info: Buffer.from('info words'), aad: Buffer.from('aad words') };

test('seals as RFC 9180 says: the bytes of an independent implementation', () => {
  const sealed = seal(recipient.publicKey, bytes(9), WORDS, Buffer.from('the plain text'));
  const known =
    '57db4b359f23ae5e146e4e2512056704722506348c150c14753d0c933d04d421' +
    '01c5c44f36996cdbe3ea44e87e80af80dfd2ed9292e84e96fd62b4de5942';
  assert.equal(sealed.toString('hex'), known);
  assert.equal(unseal(recipient, WORDS, sealed)?.toString(), 'the plain text');
});

test('one changed bit, other words or another key open nothing', () => {
  const sealed = seal(recipient.publicKey, bytes(9), WORDS, Buffer.from('the plain text'));
  fc.assert(
    fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
      const changed = Buffer.from(sealed);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(unseal(recipient, WORDS, changed), undefined);
    }),
  );
  assert.equal(unseal(recipient, { ...WORDS, aad: Buffer.from('others') }, sealed), undefined);
  assert.equal(unseal(recipient, { ...WORDS, info: Buffer.from('others') }, sealed), undefined);
  assert.equal(unseal(sealingKeyFromSeed(bytes(8)), WORDS, sealed), undefined);
  assert.equal(unseal(recipient, WORDS, sealed.subarray(0, 40)), undefined);
  for (const key of [bytes(0), Buffer.alloc(31, 1)])
    assert.throws(() => seal(key, bytes(9), WORDS, Buffer.from('x')), TypeError);
});

const PLACE = { sandbox: 'sbx_1', incarnation: 2, name: 'TOKEN' };
const SEEDS = { seed: bytes(3), salt: bytes(4) };

test('a secret opens in its place only, and only under the commitment to its value', () => {
  const value = Buffer.from('correct horse battery');
  const secret = sealSecret(recipient.publicKey, PLACE, value, SEEDS);
  assert.equal(openSecret(recipient, PLACE, secret)?.toString(), value.toString());
  assert.equal(secret.commitment, secretCommitment(SEEDS.salt, 'TOKEN', value));
  const elsewhere = [{ sandbox: 'sbx_2' }, { incarnation: 1 }, { name: 'OTHER' }];
  for (const place of elsewhere) assert.equal(openSecret(recipient, { ...PLACE, ...place }, secret), undefined);
  const renamed = { ...secret, name: 'OTHER' };
  assert.equal(openSecret(recipient, { ...PLACE, name: 'OTHER' }, renamed), undefined);
  assert.equal(openSecret(recipient, PLACE, { ...secret, commitment: 'a'.repeat(64) }), undefined);
});

test('values that are too short or too long, and bad names, are not sealed', () => {
  const sealed = (name: string, value: Buffer) => sealSecret(recipient.publicKey, { ...PLACE, name }, value, SEEDS);
  assert.throws(() => sealed('TOKEN', Buffer.from('short\n\n\n\n')), /at least 8 bytes, this has 5/);
  assert.throws(() => sealed('TOKEN', Buffer.alloc(SECRET_BYTES_MAX + 1, 'x')), /at most/);
  for (const name of ['', '1A', 'A-B', '../A', 'A'.repeat(129)])
    assert.throws(() => sealed(name, Buffer.alloc(20, 'x')), /no name/);
});

const warden = signingKeyFromSeed(bytes(5));
const STATEMENT: Attestation = {
  mode: 'standard',
  nonce: 'ab'.repeat(16),
  warden_key: warden.publicKey.toString('base64'),
  sealing_key: recipient.publicKey.toString('base64'),
  boot_id: 'boot',
  sandbox: 'sbx_1',
  incarnation: 1,
  isolation: 'ns',
  policy_hash: 'a'.repeat(64),
  image: 'sandbox-base:v1.0.0',
  image_digest: 'b'.repeat(64),
};
const WISH = { nonce: STATEMENT.nonce, sandbox: 'sbx_1' };
const signed = (changes: object, key = warden) => signEnvelope(ATTESTATION_TYPE, { ...STATEMENT, ...changes }, key);

test('a statement holds for its nonce, its sandbox and its key', () => {
  assert.deepEqual(verifyAttestation(signed({}), WISH), STATEMENT);
  assert.deepEqual(verifyAttestation(signed({}), { ...WISH, wardenKey: STATEMENT.warden_key }), STATEMENT);
  const stranger = signingKeyFromSeed(bytes(6));
  const wardenKey = stranger.publicKey.toString('base64');
  const rows: [string, ReturnType<typeof verifyAttestation>][] = [
    ['it answers another nonce', verifyAttestation(signed({ nonce: 'cd'.repeat(16) }), WISH)],
    ['it speaks of another sandbox', verifyAttestation(signed({ sandbox: 'sbx_2' }), WISH)],
    ['it is not signed by the key of the warden', verifyAttestation(signed({}, stranger), WISH)],
    ['it is not signed by the key of the warden', verifyAttestation(signed({}), { ...WISH, wardenKey })],
    ['it names another key than the one that signed', verifyAttestation(signed({}, stranger), { ...WISH, wardenKey })],
    ['mode is malformed', verifyAttestation(signed({ mode: 'confidential' }), WISH)],
    ['it has unknown members', verifyAttestation(signed({ more: 1 }), WISH)],
    ['it is not signed by the key of the warden', verifyAttestation({ ...signed({}), payload: '!' }, WISH)],
  ];
  for (const [error, verdict] of rows) assert.deepEqual(verdict, { error });
});

const redact = (values: Buffer[], pieces: Uint8Array[]): Buffer => {
  const redaction = redactionOf(values);
  const one = redactor(() => redaction);
  return Buffer.concat([...pieces.map((piece) => one.push(piece)), one.end()]);
};

/** Few letters, so that beginnings, overlaps and repetitions are common. */
const value = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 8, maxLength: 12 }).map((all) => all.join(''));
const noise = fc.array(fc.constantFrom('a', 'b', 'c', ' '), { maxLength: 20 }).map((all) => all.join(''));

test('cutting a stream anywhere changes nothing, and no spelling of a secret comes through', () => {
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(noise, fc.nat()), { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (texts, parts, cuts) => {
        const values = texts.map((text) => Buffer.from(text));
        const spellings = values.flatMap(spellingsOf);
        const pick = (index: number): Buffer => spellings[index % spellings.length] as Buffer;
        const whole = Buffer.concat(parts.flatMap(([text, index]) => [Buffer.from(text), pick(index)]));
        const places = [0, ...cuts.map((cut) => cut % (whole.length + 1)), whole.length].sort((a, b) => a - b);
        const pieces = places.slice(1).map((end, index) => whole.subarray(places[index], end));
        const clean = redact(values, pieces);
        assert.equal(clean.toString('latin1'), redact(values, [whole]).toString('latin1'));
        for (const spelling of spellings) assert.ok(!clean.includes(spelling), `${spelling} came through`);
      },
    ),
    { numRuns: 300 },
  );
});

test('byte by byte, base64 inside a longer text, broken lines and line ends are found', () => {
  const secret = Buffer.from('s3cr3t-with+some/length and more than one line of base64, so that it breaks');
  const rows: [string, Buffer][] = [
    ['as it is', secret],
    ['basic auth', Buffer.from(Buffer.concat([Buffer.from('user:'), secret]).toString('base64'))],
    ['one byte before', Buffer.from(Buffer.concat([Buffer.from('u'), secret]).toString('base64url'))],
    ['broken at 76', Buffer.from(secret.toString('base64').replace(/.{76}/g, '$&\n'))],
    ['broken at 64', Buffer.from(secret.toString('base64').replace(/.{64}/g, '$&\n'))],
    ['hex', Buffer.from(secret.toString('hex'))],
    ['a URL', Buffer.from(encodeURIComponent(secret.toString()))],
  ];
  for (const [what, spelled] of rows) {
    const clean = redact(
      [secret],
      [...spelled].map((byte) => Buffer.from([byte])),
    );
    assert.ok(clean.includes(MASK) && clean.length < spelled.length, `${what}: ${clean}`);
  }
  const key = Buffer.from('-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0B\nAQEFAASCAUAwggE8AgEA\n-----END KEY-----\n');
  assert.equal(redact([key], [Buffer.from(`${key}`.replaceAll('\n', '\r\n'))]).toString(), `${MASK}\r\n`);
  assert.equal(redact([key], [Buffer.from('2: MIIBVgIBADANBgkqhkiG9w0B!')]).toString(), `2: ${MASK}!`);
});

test('bytes that begin no secret are not held back, and a secret released meanwhile counts from then on', () => {
  let redaction = redactionOf([]);
  const one = redactor(() => redaction);
  assert.equal(one.push(Buffer.from('before-hunter2hunter2 ')).toString(), 'before-hunter2hunter2 ');
  redaction = redactionOf([Buffer.from('hunter2hunter2')]);
  assert.equal(one.push(Buffer.from('after hunt')).toString(), 'after ');
  assert.equal(one.push(Buffer.from('er2hunter2!')).toString(), `${MASK}!`);
  assert.equal(one.push(Buffer.from('hunters')).toString(), 'hunters');
});
