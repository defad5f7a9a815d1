/**
 * Money that arrives on a chain, on a whole platform.
 * Promise: whatever dies meanwhile, each transfer is credited once, and the ledger shows what the chain holds.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DepositStatus, type Tally } from '@tallystick/sdk';
import { bookProblems } from './harness/books.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const GIFT_MICROS = 1_000n;
const GIFTS = 12;
const GIFT_MS_MAX = 90_000;

describe('deposits on a chain', { concurrency: 1 }, () => {
  let platform: Platform;
  let tally: Tally;
  before(async () => {
    platform = await startPlatform();
    ({ tally } = await newcomer(platform.url));
  });
  after(() => platform[Symbol.asyncDispose]());

  const reservesAgree = () =>
    until('ledger and chain agree', async () => {
      const reserves = await tally.deposits.reserves();
      return reserves.isEqual && reserves;
    });

  test('an address is given once, and what arrives there is its owner’s', async () => {
    const [first, again] = [await tally.deposits.address(), await tally.deposits.address()];
    assert.deepEqual(again, first);
    assert.equal(first.network, 'eip155:31337');
    const deposit = await tally.depositDevelopment(GIFT_MICROS, { key: 'gift' });
    assert.equal((await tally.balance()).balanceMicros, GIFT_MICROS);
    const [seen] = await Array.fromAsync(tally.deposits.list());
    assert.deepEqual([seen!.id, seen!.status, seen!.payee], [deposit.id, DepositStatus.CREDITED, first.address]);
    assert.ok(seen!.confirmations! >= 1n);
    const { reserves } = await reservesAgree();
    assert.deepEqual(
      reserves.map(({ part, ledgerMicros }) => [part, ledgerMicros]),
      [
        ['treasury', 0n],
        ['forwarders', GIFT_MICROS],
      ],
    );
  });

  test('[I-14] the same key is paid once; another amount under it is refused', async () => {
    const again = await tally.depositDevelopment(GIFT_MICROS, { key: 'gift' });
    assert.equal((await tally.balance()).balanceMicros, GIFT_MICROS);
    assert.equal((await Array.fromAsync(tally.deposits.list()))[0]!.id, again.id);
    await assert.rejects(tally.depositDevelopment(7n, { key: 'gift' }), { code: 'idempotency_key_reused' });
  });

  test('[I-14] [I-17] under kills of the chain, the meter, the api and the database each gift is credited once', async () => {
    const { tally: other } = await newcomer(platform.url, { attemptsMax: 40 });
    const give = (key: string) => other.depositDevelopment(GIFT_MICROS, { key }).catch(() => undefined);
    const gifts = Array.from({ length: GIFTS }, (_, n) =>
      until(`gift ${n} is credited`, () => give(`gift-${n}`), GIFT_MS_MAX).then(({ id }) => id),
    );
    for (const name of ['chain', 'meter', 'chain', 'api', 'database'] as const) {
      const died = platform.pid(name);
      await platform.kill(name);
      await platform.untilReady([died]);
    }
    assert.equal(new Set(await Promise.all(gifts)).size, GIFTS);
    assert.equal((await other.balance()).balanceMicros, BigInt(GIFTS) * GIFT_MICROS);
    await reservesAgree();
    assert.deepEqual(await bookProblems(platform.folder), []);
  });
});
