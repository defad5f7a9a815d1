// Logins and keys: one row per refusal in the order of checks, and the laws over random histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ADMIN_SCOPE,
  addressOfPrivateKey,
  type Decider,
  formatSiwe,
  type JsonObject,
  memoryWorld,
  type Rules,
  type SiweMessage,
  signPersonal,
  timeTextOf,
  USUAL_SCOPES,
  WITHDRAW_SCOPE,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { isKeyUsable, type KeyState, key, type LoginState, login } from './index.ts';

const RULES: Rules = {
  deciders: new Map([login, key].map((one) => [one.kind, one as unknown as Decider])),
  reactions: [],
  policy: { version: '1', hash: '00'.repeat(32) },
};
const WALLET = Buffer.alloc(32, 7);
const OTHER = Buffer.alloc(32, 9);
const ADDRESS = addressOfPrivateKey(WALLET);
const PRINCIPAL = `eip155:1:${ADDRESS.toLowerCase()}`;
const NOW_US = 1_767_225_600_000_000n;
const NONCE = 'a1'.repeat(16);
const HASH = 'cd'.repeat(32);
const KEY_ID = 'key_1';

const FIELDS: SiweMessage = {
  domain: 'localhost:8080',
  address: ADDRESS,
  uri: 'http://localhost:8080',
  version: '1',
  chainId: 1,
  nonce: NONCE,
  issuedAt: timeTextOf(NOW_US),
};

const issue = (nonce = NONCE): LawCommand => ({
  principal: 'platform',
  stream: `login:${nonce}`,
  type: 'IssueNonce',
  body: {
    address: ADDRESS,
    domain: FIELDS.domain,
    uri: FIELDS.uri,
    chain_ids: [1, 8453],
    expires_at_us: String(NOW_US + 300_000_000n),
  },
});

function verify(change: Partial<SiweMessage> = {}, more: JsonObject = {}, signer = WALLET): LawCommand {
  const message = formatSiwe({ ...FIELDS, ...change });
  const body: JsonObject = {
    message,
    signature: signPersonal(message, signer),
    key_id: KEY_ID,
    key_hash: HASH,
    scopes: [],
    label: 'laptop',
    key_ttl_ms: 3_600_000,
    ...more,
  };
  return { principal: 'platform', stream: `login:${NONCE}`, type: 'VerifyLogin', body };
}

const mint = (id = KEY_ID, nonce = NONCE): LawCommand => ({
  principal: 'platform',
  stream: `key:${id}`,
  type: 'MintKey',
  body: { nonce },
});
const revoke = (principal = PRINCIPAL): LawCommand => ({
  principal,
  stream: `key:${KEY_ID}`,
  type: 'RevokeKey',
  body: {},
});

function run(...steps: (LawCommand | [LawCommand, bigint])[]) {
  const world = memoryWorld(RULES);
  const outcomes = steps.map((step, i) => {
    const [command, atUs] = Array.isArray(step) ? step : [step, NOW_US];
    return world.execute({ principal: 'platform', key: `k${i}`, ...command }, atUs);
  });
  return { world, outcomes, last: outcomes.at(-1)! };
}

const timeFacts = (change: JsonObject): JsonObject => ({
  issued_at: FIELDS.issuedAt,
  expires_at: null,
  not_before: null,
  now: timeTextOf(NOW_US),
  ...change,
});
const later = (ms: number): string => timeTextOf(NOW_US + BigInt(ms) * 1000n);

/** Each wrong in one thing and in all things checked after it is told of the first. */
const BURNT: [string, LawCommand, string, JsonObject][] = [
  [
    'the text is no message',
    verify({}, { message: 'hello' }),
    'LOGIN_MESSAGE_MALFORMED',
    { cause: 'the first line names no domain' },
  ],
  ['another nonce', verify({ nonce: 'b'.repeat(32), domain: 'evil.example' }), 'LOGIN_NONCE_REFUSED', {}],
  [
    'another address',
    verify({ address: addressOfPrivateKey(OTHER), domain: 'evil.example' }, {}, OTHER),
    'LOGIN_ADDRESS_REFUSED',
    {},
  ],
  [
    'another domain',
    verify({ domain: 'evil.example', chainId: 5 }),
    'LOGIN_DOMAIN_REFUSED',
    { domain: 'evil.example', expected: FIELDS.domain },
  ],
  [
    'another uri',
    verify({ uri: 'http://evil.example', chainId: 5 }),
    'LOGIN_DOMAIN_REFUSED',
    { domain: 'http://evil.example', expected: FIELDS.uri },
  ],
  [
    'another scheme',
    verify({ scheme: 'https' }),
    'LOGIN_DOMAIN_REFUSED',
    { domain: FIELDS.domain, expected: FIELDS.domain },
  ],
  [
    'another chain',
    verify({ chainId: 5, issuedAt: later(90_000) }),
    'LOGIN_CHAIN_REFUSED',
    { chain_id: 5, accepted: [1, 8453] },
  ],
  [
    'issued in the future',
    verify({ issuedAt: later(60_001) }, {}, OTHER),
    'LOGIN_TIME_REFUSED',
    timeFacts({ issued_at: later(60_001) }),
  ],
  ['expired', verify({ expirationTime: later(0) }), 'LOGIN_TIME_REFUSED', timeFacts({ expires_at: later(0) })],
  ['not valid yet', verify({ notBefore: later(1) }), 'LOGIN_TIME_REFUSED', timeFacts({ not_before: later(1) })],
  ['signed by another wallet', verify({}, { scopes: ['moon:write'] }, OTHER), 'LOGIN_SIGNATURE_REFUSED', {}],
  ['no signature', verify({}, { signature: '0x00' }), 'LOGIN_SIGNATURE_REFUSED', {}],
  ['an unknown scope', verify({}, { scopes: ['jobs:read', 'moon:write'] }), 'INVALID_REQUEST', {}],
];

for (const [what, command, code, facts] of BURNT)
  test(`[I-29] refused and burnt: ${what}`, () => {
    const { world, outcomes } = run(issue(), command, verify(), mint());
    assert.deepEqual(outcomes[1]!.answer, { refused: code, facts });
    assert.equal(outcomes[2]!.rejection, 'LOGIN_NONCE_REFUSED', 'a right answer comes too late');
    assert.equal(outcomes[3]!.rejection, 'NOT_FOUND', 'no key is made of it');
    assert.equal((world.state(`login:${NONCE}`) as LoginState).status, 'refused');
  });

const REFUSALS: [string, (LawCommand | [LawCommand, bigint])[], string][] = [
  ['an unknown nonce', [verify()], 'LOGIN_NONCE_REFUSED'],
  ['a used nonce', [issue(), verify(), verify()], 'LOGIN_NONCE_REFUSED'],
  ['an expired nonce', [issue(), [verify(), NOW_US + 300_000_000n]], 'LOGIN_NONCE_REFUSED'],
  ['a nonce issued twice', [issue(), issue()], 'ALREADY_EXISTS'],
  ['a stranger issues a nonce', [{ ...issue(), principal: PRINCIPAL }], 'NOT_FOUND'],
  ['a key without login', [mint()], 'NOT_FOUND'],
  ['another key than the login granted', [issue(), verify(), mint('key_2')], 'NOT_FOUND'],
  ['a key minted twice', [issue(), verify(), mint(), mint()], 'ALREADY_EXISTS'],
  ['a stranger mints', [issue(), verify(), { ...mint(), principal: PRINCIPAL }], 'NOT_FOUND'],
  ['a stranger revokes', [issue(), verify(), mint(), revoke('eip155:1:0xbb')], 'NOT_FOUND'],
  ['nothing to revoke', [revoke()], 'NOT_FOUND'],
  ['revoked already', [issue(), verify(), mint(), revoke(), revoke()], 'NOTHING_TO_CHANGE'],
];

for (const [what, steps, rejection] of REFUSALS)
  test(`[I-29] refused: ${what}`, () => {
    assert.equal(run(...steps).last.rejection, rejection);
  });

test('[I-30] a login grants one key, in scopes and time, and knows only the hash of its secret', () => {
  const { world, outcomes } = run(issue(), verify({}, { scopes: ['keys:write', 'jobs:read'] }), mint());
  assert.deepEqual(outcomes[1]!.answer, {
    principal: PRINCIPAL,
    key_id: KEY_ID,
    scopes: ['jobs:read', 'keys:write'],
    key_expires_at_us: String(NOW_US + 3_600_000_000n),
  });
  const state = world.state(`key:${KEY_ID}`) as KeyState;
  assert.equal(state.hash, HASH);
  assert.equal(world.streams.get(`key:${KEY_ID}`)!.owner, PRINCIPAL);
  assert.equal(isKeyUsable(state, NOW_US + 3_599_999_999n), true);
  assert.equal(isKeyUsable(state, NOW_US + 3_600_000_000n), false);
});

test('no scopes asked for are all scopes; a revoked key is of no use', () => {
  const { world, outcomes } = run(issue(), verify({ chainId: 8453, expirationTime: later(1) }), mint());
  assert.deepEqual((outcomes[1]!.answer as JsonObject)['scopes'], USUAL_SCOPES);
  const owner = `eip155:8453:${ADDRESS.toLowerCase()}`;
  assert.equal(world.execute({ key: 'r', ...revoke(owner), principal: owner }, NOW_US).rejection, undefined);
  assert.equal(isKeyUsable(world.state(`key:${KEY_ID}`) as KeyState, NOW_US), false);
});

const admins = (...named: string[]): LawCommand => ({ ...issue(), body: { ...issue().body, admins: named } });
const ADMIN_ROWS: [string, LawCommand, LawCommand, JsonObject][] = [
  [
    'asked for by somebody else',
    admins(),
    verify({}, { scopes: [ADMIN_SCOPE] }),
    { refused: 'LOGIN_SCOPE_REFUSED', facts: { scope: ADMIN_SCOPE } },
  ],
  [
    'asked for on another chain',
    admins(PRINCIPAL),
    verify({ chainId: 8453 }, { scopes: [ADMIN_SCOPE, 'jobs:read'] }),
    { refused: 'LOGIN_SCOPE_REFUSED', facts: { scope: ADMIN_SCOPE } },
  ],
];
for (const [what, issued, attempt, answer] of ADMIN_ROWS)
  test(`[I-29] the admin scope is refused: ${what}`, () => {
    assert.deepEqual(run(issued, attempt).last.answer, answer);
  });

test('an administrator gets the admin scope by asking for it, and never without', () => {
  const scopesOf = (scopes: string[]) => {
    const { last } = run(admins(PRINCIPAL), verify({}, { scopes }));
    return (last.answer as JsonObject)['scopes'];
  };
  assert.deepEqual(scopesOf(['platform:admin', 'jobs:read']), ['jobs:read', 'platform:admin']);
  assert.deepEqual(scopesOf([]), USUAL_SCOPES);
});

test('[I-29] money that leaves is a scope by name: never granted unasked, to anybody who asks', () => {
  const scopesOf = (scopes: string[]) => (run(issue(), verify({}, { scopes })).last.answer as JsonObject)['scopes'];
  assert.ok(!(scopesOf([]) as string[]).includes(WITHDRAW_SCOPE));
  assert.deepEqual(scopesOf([WITHDRAW_SCOPE]), [WITHDRAW_SCOPE]);
  assert.deepEqual(scopesOf([WITHDRAW_SCOPE, ...USUAL_SCOPES]), [...USUAL_SCOPES, WITHDRAW_SCOPE]);
});

test('a secret in place of its hash is a bug of the caller', () => {
  assert.throws(() => run(issue(), verify({}, { key_hash: 'my secret' })), /key_hash/);
});

const commands: fc.Arbitrary<LawCommand> = fc.constantFrom(
  issue(),
  verify(),
  verify({}, {}, OTHER),
  verify({ chainId: 5 }),
  mint(),
  mint('key_2'),
  revoke(),
  revoke('eip155:1:0xbb'),
);

test('[I-22] [I-29] the laws hold for logins and keys', () => {
  deciderLaws({ rules: RULES, commands, startUs: NOW_US, runs: 40 });
});
