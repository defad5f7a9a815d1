/** What a start says fits how it was started: no money is offered that nobody gives, no address promised that does not stay. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greeting } from './greeting.ts';

type Facts = Parameters<typeof greeting>[0];

const FACTS: Facts = {
  ...{ url: 'http://127.0.0.1:8080', portsUrl: 'http://127.0.0.1:8081', database: 'here', isolation: 'ns' },
  money: 'faucet',
  isFoundAgain: true,
};
const said = (change: Partial<Facts> = {}) => greeting({ ...FACTS, ...change }, { isDefaultFolder: true });

const MONEY: [money: 'faucet' | 'chain' | 'none', offered: string[]][] = [
  ['faucet', ["npx tally deposit '$5'"]],
  ['chain', ['npx tally deposits address']],
  ['none', []],
];
for (const [money, offered] of MONEY)
  test(`money from ${money} is offered by ${offered.join() || 'no command'}`, () =>
    assert.deepEqual(said({ money }).match(/npx tally deposit\S*( '\$5'| address)/g) ?? [], offered));

test('the same address is promised to a start whose ports are remembered, and to no other', () => {
  assert.match(said(), /the next start is found at the same address/);
  assert.doesNotMatch(said({ isFoundAgain: false }), /same address/);
  assert.match(said({ isFoundAgain: false }), /address is of this start alone \(--port 0\)/);
});
