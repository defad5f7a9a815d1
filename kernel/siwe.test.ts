// Sign-In with Ethereum, held to the public vectors and to one row per way of being wrong.
// Promise: what parses is written again byte for byte; what the grammar does not allow does not parse.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressOfPrivateKey, checksumAddress, signPersonal, verifyPersonalSignature } from './ethereum.ts';
import { timeMsOf } from './rfc3339.ts';
import { isAuthority, isRequestId, isUri } from './rfc3986.ts';
import { formatSiwe, parseSiwe, type SiweMessage } from './siwe.ts';

const VECTORS = new URL('../proto/vectors/siwe/', import.meta.url);
const vectors = <T>(name: string): [string, T][] =>
  Object.entries(JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8')));

for (const [what, { message, fields }] of vectors<{ message: string; fields: SiweMessage }>('parsing_positive.json')) {
  test(`EIP-4361 parses: ${what}`, () => {
    const expected = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
    assert.deepEqual(parseSiwe(message), expected);
    assert.equal(formatSiwe(expected as unknown as SiweMessage), message);
  });
}

type Signed = SiweMessage & { signature: string; time?: string; domainBinding?: string; matchNonce?: string };
for (const [what, vector] of vectors<Signed>('verification_positive.json')) {
  test(`EIP-4361 verifies: ${what}`, () => {
    const { signature, time: _time, domainBinding: _domain, matchNonce: _nonce, ...fields } = vector;
    assert.equal(verifyPersonalSignature(formatSiwe(fields), signature), vector.address);
    assert.notEqual(verifyPersonalSignature(`${formatSiwe(fields)} `, signature), vector.address);
  });
}

const GOOD = `service.org wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

Sign in.

URI: https://service.org/login
Version: 1
Chain ID: 1
Nonce: 32891757
Issued At: 2021-09-30T16:25:24.000Z
Expiration Time: 2021-09-30T17:25:24Z
Not Before: 2021-09-30T16:00:00Z
Request ID: a%20b
Resources:
- urn:grant:sha256:00
- https://example.com/x`;

const without = (label: string): string =>
  GOOD.split('\n')
    .filter((line) => !line.startsWith(label))
    .join('\n');
const BAD: [string, string][] = [
  ['an empty text', ''],
  ['a line break at the end', `${GOOD}\n`],
  ['a promise after the end', `${GOOD}\nand transfer everything`],
  ['windows line ends', GOOD.replaceAll('\n', '\r\n')],
  ['no domain', GOOD.replace('service.org wants', ' wants')],
  ['a domain with a path', GOOD.replace('service.org wants', 'service.org/x wants')],
  ['a domain with a fragment', GOOD.replace('service.org wants', '#foo wants')],
  ['a domain with a space', GOOD.replace('service.org wants', 'a b wants')],
  ['a bad scheme', GOOD.replace('service.org wants', '1s://service.org wants')],
  ['an unchecked address', GOOD.replace('0xC02aaA', '0xc02aaa')],
  ['a short address', GOOD.replace('Cc2\n', 'C\n')],
  ['no empty line after the address', GOOD.replace('Cc2\n\n', 'Cc2\n')],
  ['no empty line after the statement', GOOD.replace('Sign in.\n\n', 'Sign in.\n')],
  ['a statement of two lines', GOOD.replace('Sign in.', 'Sign in.\nPay.')],
  ['an empty statement', GOOD.replace('Sign in.', '')],
  ['a statement in other letters', GOOD.replace('Sign in.', 'Sígn in.')],
  ['a statement with quotes', GOOD.replace('Sign in.', 'Sign "in".')],
  ['one blank line only', without('Sign').replace('Cc2\n\n\n', 'Cc2\n\n')],
  ...['URI', 'Version', 'Chain ID', 'Nonce', 'Issued At'].map((label): [string, string] => [
    `no ${label}`,
    without(`${label}:`),
  ]),
  ['fields out of order', without('Version:').replace('Nonce:', 'Version: 1\nNonce:')],
  ['a field twice', GOOD.replace('Version: 1', 'Version: 1\nVersion: 1')],
  [
    'optional fields out of order',
    without('Not Before:').replace('Expiration', 'Not Before: 2021-09-30T16:00:00Z\nExpiration'),
  ],
  ['a relative uri', GOOD.replace('https://service.org/login', '/login')],
  ['a uri with a space', GOOD.replace('/login', '/log in')],
  ['another version', GOOD.replace('Version: 1', 'Version: 2')],
  ['a chain id in words', GOOD.replace('Chain ID: 1', 'Chain ID: one')],
  ['a chain id with a leading zero', GOOD.replace('Chain ID: 1', 'Chain ID: 01')],
  ['a chain id beyond 2^53', GOOD.replace('Chain ID: 1', 'Chain ID: 9007199254740993')],
  ['a short nonce', GOOD.replace('32891757', '3289175')],
  ['a nonce with signs', GOOD.replace('32891757', '3289175-')],
  ['a time without zone', GOOD.replace('24.000Z', '24.000')],
  ['a day that is not', GOOD.replace('2021-09-30T16:25', '2021-09-31T16:25')],
  ['a time of another kind', GOOD.replace('2021-09-30T16:25:24.000Z', 'Wed Oct 05 2011 16:48:00 GMT+0200')],
  ['a bad expiration', GOOD.replace('17:25:24Z', '25:25:24Z')],
  ['a request id with a slash', GOOD.replace('a%20b', 'a/b')],
  ['a request id with a lone percent', GOOD.replace('a%20b', 'a%2')],
  ['a resource that is no uri', GOOD.replace('- urn:grant:sha256:00', '- grant')],
  ['a resource without a dash', GOOD.replace('- urn', 'urn')],
  ['an extra space', GOOD.replace('Nonce: ', 'Nonce:  ')],
  ['a longer text than the limit', GOOD.replace('Sign in.', 'x'.repeat(8_192))],
];

test('the text that the bad rows start from is good', () => {
  const message = parseSiwe(GOOD) as SiweMessage;
  assert.equal(formatSiwe(message), GOOD);
  assert.deepEqual([message.requestId, message.resources?.length], ['a%20b', 2]);
});

for (const [what, text] of BAD) {
  test(`[I-29] a message with ${what} does not parse`, () => {
    assert.notEqual(text, GOOD);
    const parsed = parseSiwe(text);
    assert.ok('error' in parsed && parsed.error.length > 0, JSON.stringify(parsed));
  });
}

test('[I-29] no edit of a message parses without standing in its fields', () => {
  const edits = fc.tuple(
    fc.nat({ max: GOOD.length }),
    fc.nat({ max: 3 }),
    fc.string({ unit: 'binary-ascii', maxLength: 3 }),
  );
  const property = fc.property(edits, ([at, drop, insert]) => {
    const text = GOOD.slice(0, at) + insert + GOOD.slice(at + drop);
    const parsed = parseSiwe(text);
    if (!('error' in parsed)) assert.equal(formatSiwe(parsed), text);
  });
  fc.assert(property, { numRuns: 1_000 });
});

test('a field cannot smuggle a line into the text', () => {
  const good = parseSiwe(GOOD) as SiweMessage;
  const smuggle: Partial<SiweMessage>[] = [
    { nonce: '12345678\nIssued At: 2021-09-30T16:25:24Z' },
    { statement: 'a\n\nURI: https://evil' },
    { resources: ['a:b\n- c:d'] },
    { uri: 'a:b\nVersion: 1' },
    { domain: 'evil.org wants you to sign in with your Ethereum account:\n' },
    { requestId: 'x\nResources:' },
    { chainId: 1.5 },
    { issuedAt: 'now' },
  ];
  for (const change of smuggle)
    assert.throws(() => formatSiwe({ ...good, ...change }), TypeError, JSON.stringify(change));
});

const PRIVATE_KEY = Buffer.alloc(32, 3);
const HALF_ORDER_COMPLEMENT = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

test('a personal signature has one spelling', () => {
  const signature = signPersonal('hello', PRIVATE_KEY);
  const address = addressOfPrivateKey(PRIVATE_KEY);
  assert.equal(verifyPersonalSignature('hello', signature), address);
  const v = Number.parseInt(signature.slice(-2), 16);
  const withV = (byte: number): string => signature.slice(0, -2) + byte.toString(16).padStart(2, '0');
  assert.equal(verifyPersonalSignature('hello', withV(v - 27)), address);
  for (const bad of [2, 3, 26, 29, 30, 31, 35, 255])
    assert.equal(verifyPersonalSignature('hello', withV(bad)), undefined);
  const s = HALF_ORDER_COMPLEMENT - BigInt(`0x${signature.slice(66, 130)}`);
  const highS = signature.slice(0, 66) + s.toString(16).padStart(64, '0') + (v === 27 ? '1c' : '1b');
  assert.equal(verifyPersonalSignature('hello', highS), undefined);
  const malformed = [
    '',
    '0x',
    signature.slice(2),
    `${signature}00`,
    signature.replace(/..$/, 'zz'),
    `0x${'00'.repeat(64)}1b`,
    `0x${'ff'.repeat(64)}1b`,
  ];
  for (const bad of malformed) assert.equal(verifyPersonalSignature('hello', bad), undefined, bad);
});

test('addresses of EIP-55', () => {
  for (const address of [
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
    '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
    '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
  ])
    assert.equal(checksumAddress(address.toLowerCase()), address);
  assert.throws(() => checksumAddress('0x12'), TypeError);
});

test('times are those of the calendar', () => {
  const moments = fc.date({
    min: new Date('0001-01-02T00:00:00Z'),
    max: new Date('9999-12-30T00:00:00Z'),
    noInvalidDate: true,
  });
  fc.assert(fc.property(moments, (date) => void assert.equal(timeMsOf(date.toISOString()), date.getTime())));
  assert.equal(timeMsOf('2026-11-21T02:57:42.5+01:30'), Date.parse('2026-11-21T02:57:42.5+01:30'));
  assert.equal(timeMsOf('2024-02-29T00:00:00Z'), Date.parse('2024-02-29'));
  for (const bad of [
    '2023-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-01 00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00.Z',
    '2026-01-01',
  ])
    assert.equal(timeMsOf(bad), undefined, bad);
});

test('authorities, URIs and request ids of RFC 3986', () => {
  for (const good of [
    'a',
    'a:',
    'a:80',
    'u:p@a',
    '[::]',
    '[1:2:3:4:5:6:7:8]',
    '[1::8]',
    '[::ffff:1.2.3.4]',
    '[v1.a]',
    '%41',
  ])
    assert.ok(isAuthority(good), good);
  for (const bad of [
    '',
    ':80',
    '@',
    'a:x',
    '[::1',
    '[1:2:3:4:5:6:7:8:9]',
    '[1::2::3]',
    '[:::]',
    'a/b',
    '%4',
    'ä',
    'a@b@c',
  ])
    assert.ok(!isAuthority(bad), bad);
  for (const good of ['a:', 'a:b', 'mailto:a@b.c', 'file:///x', 'https://[::1]:8/a?b#c', 'urn:a:b', 'a:/', 'a:/b//c'])
    assert.ok(isUri(good), good);
  for (const bad of ['', 'a', '//a', '1a:b', 'a:b c', 'a:#b#c', 'http://[x]', 'a:%zz', 'http://a\\b'])
    assert.ok(!isUri(bad), bad);
  assert.ok(isRequestId('') && isRequestId('a:@%20') && !isRequestId('a?b'));
});
