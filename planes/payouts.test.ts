// Payout addresses: one row per command and refusal, what burns a challenge, and the laws over random histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressOfPrivateKey,
  checksumAddress,
  type JsonObject,
  type Outcome,
  parseSiwe,
  signPersonal,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import { payoutStream } from '@tallystick/treasury';
import fc from 'fast-check';
import { RULES } from './index.ts';
import {
  ANN,
  ANN_ADDRESS,
  ANN_KEY,
  BOB,
  DAY_US,
  newPayoutBench,
  OTHER,
  type PayoutBench,
  RAIL,
} from './payout-bench.ts';

const STRANGERS_KEY = Buffer.alloc(32, 9);
const OTHERS_KEY = Buffer.alloc(32, 7);
const STREAM = payoutStream(ANN, RAIL, OTHER);
const CHALLENGE_US = 900_000_000n;

const lateAsked = (b: PayoutBench): void => {
  b.askPayout();
  b.nowUs += CHALLENGE_US;
};

type Row = [what: string, scene: (b: PayoutBench) => void, act: (b: PayoutBench) => Outcome, rejection: string];
const REFUSALS: Row[] = [
  ['asked for in somebody else’s name', () => {}, (b) => b.askPayout(OTHER, BOB), 'NOT_FOUND'],
  [
    'asked for under another address',
    () => {},
    (b) => b.ask(ANN, STREAM, 'AskPayout', { rail: RAIL, address: ANN_ADDRESS }),
    'NOT_FOUND',
  ],
  ['asked for though it is the own one', () => {}, (b) => b.askPayout(ANN_ADDRESS), 'ALREADY_EXISTS'],
  ['asked for though it is proven', (b) => void [b.askPayout(), b.prove()], (b) => b.askPayout(), 'ALREADY_EXISTS'],
  ['proven though it was never asked for', () => {}, (b) => b.prove(), 'NOT_FOUND'],
  ['proven by somebody else', (b) => b.askPayout(), (b) => b.prove({}, BOB), 'NOT_FOUND'],
  ['proven too late', lateAsked, (b) => b.prove(), 'PAYOUT_PROOF_REFUSED'],
  ['proven twice', (b) => void [b.askPayout(), b.prove()], (b) => b.prove(), 'PAYOUT_PROOF_REFUSED'],
  ['taken back before it is proven', (b) => b.askPayout(), (b) => b.ask(ANN, STREAM, 'RevokePayout'), 'NOT_FOUND'],
  [
    'taken back by somebody else',
    (b) => void [b.askPayout(), b.prove()],
    (b) => b.ask(BOB, STREAM, 'RevokePayout'),
    'NOT_FOUND',
  ],
];
for (const [what, scene, act, rejection] of REFUSALS)
  test(`refused: an address ${what}`, () => {
    const b = newPayoutBench();
    scene(b);
    assert.equal(act(b).rejection, rejection);
  });

const messageOf = (b: PayoutBench): string => b.payout().challenge!.message;
const BURNING: [string, (b: PayoutBench) => JsonObject][] = [
  ['another key signed', (b) => ({ signature: signPersonal(messageOf(b), STRANGERS_KEY) })],
  ['another text was signed', () => ({ message: 'hello', signature: signPersonal('hello', Buffer.alloc(32, 7)) })],
  ['a line was added', (b) => ({ message: `${messageOf(b)}\n` })],
  ['a contract does not know the signature', () => ({ signature: '0x00', contract: { holds: false } })],
  ['nobody asked a contract', () => ({ signature: '0x00' })],
  ['the account’s owner did not sign', () => ({ owner_signature: '0x00' })],
  [
    'the address signed for the account’s owner, too',
    (b) => ({ owner_signature: signPersonal(messageOf(b), OTHERS_KEY) }),
  ],
  ['the account’s owner signed for the address, too', (b) => ({ signature: signPersonal(messageOf(b), ANN_KEY) })],
  [
    'a contract does not know the owner’s signature',
    () => ({ owner_signature: '0x00', owner_contract: { holds: false } }),
  ],
];
for (const [what, change] of BURNING)
  test(`[I-29] a challenge is burnt: ${what}`, () => {
    const b = newPayoutBench();
    b.askPayout();
    const asked = b.payout().challenge!;
    const { rejection, answer } = b.prove(change(b));
    assert.equal(rejection, undefined);
    assert.equal((answer as JsonObject)['refused'], 'PAYOUT_PROOF_REFUSED');
    const [signature, owner_signature] = [OTHERS_KEY, ANN_KEY].map((key) => signPersonal(asked.message, key));
    const late = b.prove({ message: asked.message, signature: signature!, owner_signature: owner_signature! });
    assert.equal(late.rejection, 'PAYOUT_PROOF_REFUSED', 'a right answer comes too late');
    assert.equal(b.payout().status, 'asked');
  });

test('[I-29] the text names the account and the address, and is signed for no login', () => {
  const b = newPayoutBench();
  b.askPayout();
  const parsed = parseSiwe(messageOf(b));
  assert.ok(!('error' in parsed));
  assert.equal(parsed.statement, `Let withdrawals of the account ${ANN} go to ${checksumAddress(OTHER)}.`);
  assert.deepEqual([parsed.address.toLowerCase(), parsed.chainId, parsed.domain], [OTHER, 31_337, 'localhost:8080']);
});

test('a proven address is usable a day later, until it is taken back; proven again it waits again', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.askPayout();
  b.prove();
  const provenAtUs = b.nowUs;
  assert.deepEqual([b.payout().proven_by, b.payout().usable_from_us], ['key', String(provenAtUs + DAY_US)]);
  b.nowUs += DAY_US;
  assert.equal(b.withdraw('10000', { to: OTHER }).rejection, undefined);
  assert.equal(b.ask(ANN, STREAM, 'RevokePayout').rejection, undefined);
  b.askPayout();
  b.prove();
  assert.equal(b.withdraw('10000', { to: OTHER }, 'wdr_2').rejection, 'PAYOUT_ADDRESS_WAITING');
});

test('a contract’s word is evidence in the receipt', () => {
  const b = newPayoutBench();
  b.askPayout();
  const contract = { holds: true, rail: RAIL, block: '7', block_hash: '0xb7' };
  b.prove({ signature: '0x00', contract });
  assert.deepEqual([b.payout().proven_by, b.payout().allowed_by], ['contract', 'key']);
  assert.deepEqual(b.world.receipts.at(-1)!.evidence, [contract]);
});

test('an account of a contract wallet allows an address by its contract’s word', () => {
  const b = newPayoutBench();
  b.askPayout();
  const owner_contract = { holds: true, rail: RAIL, block: '7', block_hash: '0xb7' };
  b.prove({ owner_signature: '0x00', owner_contract });
  assert.deepEqual([b.payout().proven_by, b.payout().allowed_by], ['key', 'contract']);
  assert.deepEqual(b.world.receipts.at(-1)!.evidence, [owner_contract]);
});

test('the key that proves belongs to the address, whoever owns the account', () => {
  assert.equal(addressOfPrivateKey(Buffer.alloc(32, 7)).toLowerCase(), OTHER);
});

const asked = newPayoutBench();
asked.askPayout();
const MESSAGE = messageOf(asked);
const SIGNED = {
  ...{ message: MESSAGE, signature: signPersonal(MESSAGE, OTHERS_KEY), contract: null },
  ...{ owner_signature: signPersonal(MESSAGE, ANN_KEY), owner_contract: null },
};
const own = (type: string, body: JsonObject = {}): LawCommand => ({ principal: ANN, stream: STREAM, type, body });
const commands: fc.Arbitrary<LawCommand> = fc.constantFrom(
  own('AskPayout', {
    ...{ rail: RAIL, address: OTHER, domain: 'localhost:8080', uri: 'http://localhost:8080', chain_id: 31_337 },
    ...{ nonce: 'a1'.repeat(16), expires_at_us: String(asked.nowUs + CHALLENGE_US) },
  }),
  own('ProvePayout', SIGNED),
  own('ProvePayout', { ...SIGNED, signature: '0x00' }),
  own('ProvePayout', { ...SIGNED, owner_signature: '0x00' }),
  own('RevokePayout'),
);

test('[I-22] [I-29] the laws hold for payout addresses', () => {
  deciderLaws({ rules: RULES, commands, stepUsMax: 0n, runs: 60 });
});
