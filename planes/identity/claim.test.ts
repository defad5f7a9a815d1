// Logins that a contract signed: claimed with the nonce burnt, granted once by what the chain says, and by nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
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
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { type KeyState, key, type LoginState, login } from './index.ts';

const RULES: Rules = {
  deciders: new Map([login, key].map((one) => [one.kind, one as unknown as Decider])),
  reactions: [],
  policy: { version: '1', hash: '00'.repeat(32) },
};
const OWNER = Buffer.alloc(32, 7);
const STRANGER = Buffer.alloc(32, 9);
/** A contract stands there: nobody has its key. */
const WALLET = addressOfPrivateKey(Buffer.alloc(32, 11));
const PRINCIPAL = `eip155:31337:${WALLET.toLowerCase()}`;
const NOW_US = 1_767_225_600_000_000n;
const EXPIRES_US = NOW_US + 300_000_000n;
const NONCE = 'a1'.repeat(16);
const PLACE = { rail: 'eip155:31337/00ff', block: '12', block_hash: `0x${'ab'.repeat(32)}` };

const FIELDS: SiweMessage = {
  domain: 'localhost:8080',
  address: WALLET,
  uri: 'http://localhost:8080',
  version: '1',
  chainId: 31_337,
  nonce: NONCE,
  issuedAt: timeTextOf(NOW_US),
};

const platform = (stream: string, type: string, body: JsonObject): LawCommand => ({
  principal: 'platform',
  stream,
  type,
  body,
});
const issue = (address = WALLET): LawCommand =>
  platform(`login:${NONCE}`, 'IssueNonce', {
    address,
    domain: FIELDS.domain,
    uri: FIELDS.uri,
    chain_ids: [1, 31_337],
    expires_at_us: String(EXPIRES_US),
  });

function attempt(keyId = 'key_1', more: JsonObject = {}, change: Partial<SiweMessage> = {}, by = OWNER): LawCommand {
  const message = formatSiwe({ ...FIELDS, ...change });
  return platform(`login:${NONCE}`, 'VerifyLogin', {
    message,
    signature: signPersonal(message, by),
    key_id: keyId,
    key_hash: 'cd'.repeat(32),
    scopes: [],
    label: 'contract',
    key_ttl_ms: 3_600_000,
    contracts: true,
    ...more,
  });
}

const conclude = (keyId = 'key_1', holds = true): LawCommand =>
  platform(`login:${NONCE}`, 'ConcludeLogin', { key_id: keyId, holds, ...PLACE });
const mint = (keyId = 'key_1'): LawCommand => platform(`key:${keyId}`, 'MintKey', { nonce: NONCE });

function run(...steps: (LawCommand | [LawCommand, bigint])[]) {
  const world = memoryWorld(RULES);
  const outcomes = steps.map((step, i) => {
    const [command, atUs] = Array.isArray(step) ? step : [step, NOW_US];
    return world.execute({ principal: 'platform', key: `k${i}`, ...command }, atUs);
  });
  return { world, outcomes, last: outcomes.at(-1)!, login: world.state(`login:${NONCE}`) as LoginState };
}

test('[I-29] what a contract is said to have signed burns the nonce, and grants nothing until the chain was asked', () => {
  const { outcomes, login, world } = run(issue(), attempt(), mint());
  assert.deepEqual(outcomes[1]!.answer, { claimed: 'key_1' });
  assert.equal(outcomes[2]!.rejection, 'NOT_FOUND', 'no key is made of a claim');
  assert.deepEqual([login.status, login.grant], ['claimed', null]);
  assert.equal(world.streams.get(`login:${NONCE}`)!.owner, null, 'it is nobody’s yet');
});

test('[I-29] the chain says yes: one key, for the contract, with the method in the grant', () => {
  const { outcomes, login, world } = run(issue(), attempt(), conclude(), mint());
  const { principal, scopes } = outcomes[2]!.answer as JsonObject;
  assert.deepEqual([principal, scopes], [PRINCIPAL, USUAL_SCOPES]);
  assert.deepEqual([login.status, login.grant?.method, 'claim' in login], ['granted', 'contract', false]);
  assert.equal((world.state('key:key_1') as KeyState).principal, PRINCIPAL);
});

test('[I-29] the chain says no: refused, and the nonce stays burnt', () => {
  const { outcomes, login } = run(issue(), attempt(), conclude('key_1', false), attempt(), conclude());
  assert.deepEqual(outcomes[2]!.answer, { refused: 'LOGIN_SIGNATURE_REFUSED', facts: {} });
  assert.deepEqual([outcomes[3]!.rejection, outcomes[4]!.rejection], ['LOGIN_NONCE_REFUSED', 'LOGIN_NONCE_REFUSED']);
  assert.equal(login.status, 'refused');
});

test('[I-29] the same attempt may be repeated while the chain is away, and is granted once, to whoever asked last', () => {
  const { outcomes, login } = run(
    issue(),
    attempt(),
    attempt('key_2'),
    conclude(),
    conclude('key_2'),
    conclude('key_2'),
  );
  assert.deepEqual(
    outcomes.slice(2).map(({ rejection }) => rejection),
    [undefined, 'LOGIN_NONCE_REFUSED', undefined, 'LOGIN_NONCE_REFUSED'],
  );
  assert.equal(login.grant?.key_id, 'key_2');
});

const REFUSALS: [string, (LawCommand | [LawCommand, bigint])[], string][] = [
  ['another signature after a claim', [issue(), attempt(), attempt('key_2', {}, {}, STRANGER)], 'LOGIN_NONCE_REFUSED'],
  ['another text after a claim', [issue(), attempt(), attempt('key_2', {}, { chainId: 1 })], 'LOGIN_NONCE_REFUSED'],
  ['a conclusion without a claim', [issue(), conclude()], 'LOGIN_NONCE_REFUSED'],
  ['a conclusion of another claim', [issue(), attempt(), conclude('key_2')], 'LOGIN_NONCE_REFUSED'],
  ['a conclusion after the nonce’s time', [issue(), attempt(), [conclude(), EXPIRES_US]], 'LOGIN_NONCE_REFUSED'],
  ['a claim after the nonce’s time', [issue(), [attempt(), EXPIRES_US]], 'LOGIN_NONCE_REFUSED'],
  ['a stranger concludes', [issue(), attempt(), { ...conclude(), principal: PRINCIPAL }], 'NOT_FOUND'],
];
for (const [what, steps, rejection] of REFUSALS)
  test(`[I-29] refused: ${what}`, () => {
    assert.equal(run(...steps).last.rejection, rejection);
  });

const BURNT: [string, LawCommand, string][] = [
  ['no chain can be asked', attempt('key_1', { contracts: false }), 'LOGIN_SIGNATURE_REFUSED'],
  ['an unknown scope', attempt('key_1', { scopes: ['moon:write'] }), 'INVALID_REQUEST'],
  ['the admin scope', attempt('key_1', { scopes: ['platform:admin'] }), 'LOGIN_SCOPE_REFUSED'],
  ['another chain', attempt('key_1', {}, { chainId: 5 }), 'LOGIN_CHAIN_REFUSED'],
];
for (const [what, command, code] of BURNT)
  test(`[I-29] refused and burnt before any chain is asked: ${what}`, () => {
    const { outcomes } = run(issue(), command, conclude());
    assert.equal((outcomes[1]!.answer as JsonObject)['refused'], code);
    assert.equal(outcomes[2]!.rejection, 'LOGIN_NONCE_REFUSED');
  });

test('an address that signs by its own key is granted at once, and no chain is asked', () => {
  const address = addressOfPrivateKey(OWNER);
  const { outcomes, login } = run(issue(address), attempt('key_1', {}, { address }), conclude());
  assert.deepEqual([login.status, login.grant?.method], ['granted', 'eoa']);
  assert.equal(outcomes[2]!.rejection, 'LOGIN_NONCE_REFUSED');
  const { login: before } = run(issue(address), attempt('key_1', { contracts: null }, { address }));
  assert.deepEqual([before.status, 'method' in before.grant!], ['granted', false], 'as receipts of before have it');
});

const commands: fc.Arbitrary<LawCommand> = fc.constantFrom(
  issue(),
  attempt(),
  attempt('key_2'),
  attempt('key_2', {}, {}, STRANGER),
  conclude(),
  conclude('key_1', false),
  conclude('key_2'),
  mint(),
  mint('key_2'),
);

test('[I-22] [I-29] the laws hold for claims', () => {
  deciderLaws({ rules: RULES, commands, startUs: NOW_US, runs: 40 });
});
