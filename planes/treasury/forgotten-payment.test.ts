// A payment whose transaction the chain forgot after it was credited, and that another transaction brings again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainAccount, reorgLossAccount, userAccount } from '@tallystick/kernel';
import type { LawCommand } from '@tallystick/kernel/laws';
import { type DepositState, depositStream } from './index.ts';
import { ANN, adopt, BOUND, credit, lose, NOW_S, OTHER_NONCE, PAYER, RAIL, run, see, US_PER_S } from './testing.ts';

const FORGOTTEN = [...BOUND, see(), credit(), lose()];
const AGAIN = see({ tx: '0x8', block: '6', block_hash: '0xb6' }, 'dep_2');
test('[I-14] a payment that comes in another transaction when the chain has forgotten the first is the same money', () => {
  const refused = run(...FORGOTTEN, AGAIN, credit({}, ANN, 'dep_2'));
  assert.equal(refused.last.rejection, 'PAYMENT_CREDITED');
  const { world, last } = run(...FORGOTTEN, AGAIN, adopt());
  const second = world.state(depositStream('dep_2')) as DepositState;
  assert.deepEqual(
    [last.rejection, second.status, second.paid_as, second.principal],
    [undefined, 'credited', 'dep_1', ANN],
  );
  const held = () =>
    [userAccount(ANN), reorgLossAccount(RAIL), chainAccount(RAIL, 'treasury')].map((one) => world.availableMicros(one));
  assert.deepEqual(held(), [700n, 0n, -700n]);
  world.execute({ principal: 'platform', ...lose('dep_2', '0xb6'), key: 'lost again' }, NOW_S * US_PER_S);
  assert.deepEqual(held(), [700n, -700n, 0n]);
});

const NOT_ADOPTED: [string, LawCommand[], string][] = [
  ['the first still stands', [...BOUND, see(), credit(), AGAIN, adopt()], 'NOTHING_TO_CHANGE'],
  [
    'it is another payment',
    [...FORGOTTEN, see({ tx: '0x8', authorization: OTHER_NONCE, principal: `eip155:1:${PAYER}` }, 'dep_2'), adopt()],
    'NOT_FOUND',
  ],
  ['it is another amount', [...FORGOTTEN, see({ tx: '0x8', amount_micros: '701' }, 'dep_2'), adopt()], 'NOT_FOUND'],
  ['it was adopted', [...FORGOTTEN, AGAIN, adopt(), adopt()], 'NOTHING_TO_CHANGE'],
  ['by its principal', [...FORGOTTEN, AGAIN, adopt(ANN)], 'NOT_FOUND'],
  ['the first was not paid out', [...BOUND, see(), AGAIN, adopt()], 'NOT_FOUND'],
];
for (const [what, commands, rejection] of NOT_ADOPTED)
  test(`a payment is not taken for one that was forgotten: ${what}`, () => {
    assert.equal(run(...commands).last.rejection, rejection);
  });
