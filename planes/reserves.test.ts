// Proof of reserves as rules: what counts as missing, what stops, what is put right.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainAccount, type JsonObject, ownFundsAccount } from '@tallystick/kernel';
import { depositStream, railStream } from '@tallystick/treasury';
import { ANN, balanceOf, newPayoutBench, type PayoutBench, RAIL } from './payout-bench.ts';

const short = (b: PayoutBench) => b.look({ treasury: '0' });

test('[I-42] money that is missing at two looks running stops what leaves; back again, it goes on', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  assert.equal(short(b).rejection, undefined);
  assert.deepEqual([b.rail().withdrawals_stopped, b.rail().reserves!.looks_short], [false, 1]);
  b.look();
  short(b);
  assert.equal(b.withdraw('10000').rejection, undefined, 'one look is not enough');
  b.nowUs += 1n;
  short(b);
  const { reserves, withdrawals_stopped } = b.rail();
  assert.deepEqual([withdrawals_stopped, reserves!.missing_micros, reserves!.is_equal], [true, '1000000', false]);
  const since = reserves!.since_us;
  b.nowUs += 5n;
  short(b);
  assert.equal(b.rail().reserves!.since_us, since);
  assert.equal(b.sign('0').rejection, 'RESERVES_DISAGREE');
  b.look();
  assert.deepEqual([b.rail().withdrawals_stopped, b.rail().reserves!.is_equal], [false, true]);
  assert.equal(b.sign('0').rejection, undefined);
});

test('what is pending and what is leaving is no difference; more than the ledger knows of stops nothing', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  const parts = (treasury: JsonObject) => [
    { part: 'treasury', ledger_micros: '1000000', pending_micros: '0', leaving_micros: '0', ...treasury },
    { part: 'forwarders', ledger_micros: '0', pending_micros: '0', leaving_micros: '0', chain_micros: '0' },
  ];
  const rows: [JsonObject, boolean, string][] = [
    [{ chain_micros: '1000005', pending_micros: '5' }, true, '0'],
    [{ chain_micros: '600000', leaving_micros: '400000' }, true, '0'],
    [{ chain_micros: '1000001' }, false, '0'],
    [{ chain_micros: '999999' }, false, '1'],
  ];
  for (const [treasury, isEqual, missing] of rows) {
    assert.equal(b.look({}, { parts: parts(treasury) }).rejection, undefined);
    assert.deepEqual([b.rail().reserves!.is_equal, b.rail().reserves!.missing_micros], [isEqual, missing]);
  }
  assert.equal(b.rail().withdrawals_stopped, false);
});

test('what lies at another of our own places than the ledger says is put right there; nobody’s money moves', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  const places = () => (['treasury', 'forwarders'] as const).map((part) => b.on(chainAccount(RAIL, part)));
  b.look({ treasury: '300000', forwarders: '700000' });
  assert.deepEqual([places(), b.rail().withdrawals_stopped], [[-300_000n, -700_000n], false]);
  b.look({ treasury: '1000000', forwarders: '0' });
  assert.deepEqual([places(), balanceOf(b)], [[-1_000_000n, 0n], 1_000_000n]);
  b.look({ treasury: '900000', forwarders: '0' });
  b.look({ treasury: '900000', forwarders: '200000' });
  assert.deepEqual(places(), [-1_000_000n, 0n], 'only when all is there');
});

test('a look at a ledger that has moved since is not recorded', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  const parts = b.rail().reserves;
  assert.equal(parts, undefined);
  const old = [
    { part: 'treasury', ledger_micros: '5', pending_micros: '0', leaving_micros: '0', chain_micros: '5' },
    { part: 'forwarders', ledger_micros: '0', pending_micros: '0', leaving_micros: '0', chain_micros: '0' },
  ];
  assert.equal(b.look({}, { parts: old }).rejection, 'NOTHING_TO_CHANGE');
  assert.throws(() => b.look({}, { parts: [old[0]!, old[0]!] }), /name treasury once/);
});

test('[I-42] nothing is signed while the last look is too old; the next one lets it go on', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.withdraw('10000');
  b.look();
  b.nowUs += 7_200_000_001n;
  const { rejection, facts } = b.sign('0');
  assert.deepEqual([rejection, Object.keys(facts!)], ['RESERVES_UNCHECKED', ['checked_at']]);
  b.look();
  b.nowUs += 7_200_000_000n;
  assert.equal(b.sign('0').rejection, undefined);
});

const explain = (b: PayoutBench, type: string, amount_micros: string, who = 'platform') =>
  b.ask(who, railStream(RAIL), type, { amount_micros, reason: 'float', by: 'eip155:1:0xad' });
const own = (b: PayoutBench) => b.on(ownFundsAccount(RAIL));

test('a surplus that is said to be the platform’s own is in the ledger; when it is stolen, it is missing', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.look({ treasury: '1500000' });
  const { rejection, answer } = explain(b, 'ContributeFunds', '500000');
  assert.equal(rejection, undefined);
  const told = { account: ownFundsAccount(RAIL), own_micros: '500000', unexplained_micros: '0' };
  assert.deepEqual((answer as JsonObject)['own_funds'], told);
  assert.deepEqual([own(b), b.on(chainAccount(RAIL, 'treasury'))], [500_000n, -1_500_000n]);
  b.look({ treasury: '1500000' });
  assert.equal(b.rail().reserves!.is_equal, true);
  for (let looks = 0; looks < 2; looks++) b.look({ treasury: '1000000' });
  assert.deepEqual([b.rail().withdrawals_stopped, b.rail().reserves!.missing_micros], [true, '500000']);
  assert.equal(explain(b, 'WriteOffFunds', '500000').rejection, undefined);
  assert.deepEqual([own(b), b.rail().reserves!.missing_micros, b.rail().withdrawals_stopped], [0n, '0', true]);
  b.look();
  assert.deepEqual([b.rail().withdrawals_stopped, b.rail().reserves!.is_equal], [false, true]);
  assert.equal(balanceOf(b), 1_000_000n);
});

const UNEXPLAINED: [string, { treasury?: string; forwarders?: string } | undefined, [string, string][], string][] = [
  ['nobody has looked', undefined, [['ContributeFunds', '1']], '0'],
  ['all is equal', {}, [['ContributeFunds', '1']], '0'],
  ['more than the surplus', { treasury: '1000007' }, [['ContributeFunds', '8']], '7'],
  ['the same surplus again', { treasury: '1000007' }, [...Array(2).fill(['ContributeFunds', '7'])], '0'],
  ['what lies at deposit addresses', { forwarders: '7' }, [['ContributeFunds', '1']], '0'],
  ['a surplus beside a loss', { treasury: '1000007', forwarders: '-5' }, [['ContributeFunds', '3']], '2'],
  ['somebody’s money', { treasury: '999993' }, [['WriteOffFunds', '1']], '0'],
  ['a surplus written off', { treasury: '1000007' }, [['WriteOffFunds', '1']], '0'],
];
for (const [what, chain, commands, available] of UNEXPLAINED)
  test(`no more is explained than was found: ${what}`, () => {
    const b = newPayoutBench();
    b.deposit('1000000');
    if (chain) b.look(chain);
    const before = own(b);
    const outcomes = commands.map(([type, micros]) => explain(b, type, micros));
    const { rejection, facts } = outcomes.at(-1)!;
    assert.deepEqual([rejection, facts?.['available_micros']], ['FUNDS_NOT_UNEXPLAINED', available]);
    if (commands.length === 1) assert.equal(own(b), before);
  });

test('what is the platform’s own is written off as far as it goes, and only by the platform', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.look({ treasury: '1000007' });
  assert.equal(explain(b, 'ContributeFunds', '7', 'eip155:1:0xad').rejection, 'NOT_FOUND');
  assert.equal(explain(b, 'ContributeFunds', '0').rejection, 'AMOUNT_NOT_POSITIVE');
  assert.equal(explain(b, 'ContributeFunds', '7').rejection, undefined);
  b.look({ treasury: '999995' });
  const { rejection, facts } = explain(b, 'WriteOffFunds', '12');
  assert.deepEqual(
    [rejection, facts],
    ['FUNDS_NOT_UNEXPLAINED', { asked_micros: '12', available_micros: '7', own_micros: '7' }],
  );
  assert.equal(explain(b, 'WriteOffFunds', '7').rejection, undefined);
  assert.equal(explain(b, 'WriteOffFunds', '5').facts?.['available_micros'], '0');
  assert.equal(b.rail().reserves!.missing_micros, '5');
});

test('what stands in for deposits that the chain took back is nobody’s to write off; nor is anything explained by an old look', () => {
  const b = newPayoutBench();
  b.deposit('1000000', ANN);
  const id = b.depositIds[0]!;
  b.ask('reaction', depositStream(id), 'SettleDeposit', { principal: ANN });
  assert.equal(b.ask('platform', depositStream(id), 'LoseDeposit', { block_hash: '0xb5' }).rejection, undefined);
  b.look({ treasury: '1000007' });
  assert.equal(explain(b, 'ContributeFunds', '1000007').rejection, undefined);
  b.look();
  b.look({ treasury: '0' });
  assert.equal(explain(b, 'WriteOffFunds', '1000007').facts?.['available_micros'], '7');
  b.nowUs += 7_200_000_001n;
  assert.equal(explain(b, 'WriteOffFunds', '7').rejection, 'RESERVES_UNCHECKED');
});
