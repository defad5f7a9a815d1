/**
 * Money that arrives on a chain, on a whole platform.
 * Promise: whatever dies meanwhile, each transfer is credited once, and the ledger shows what the chain holds.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ChainDeposit, connect, DepositStatus, login, signerOfPrivateKey, type Tally } from '@tallystick/sdk';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { bookProblems } from './harness/books.ts';
import { type ChainHand, chainOf } from './harness/chain.ts';
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

  test('[I-14] what a wallet sent to the treasury before it had an account is found and claimed by its login, once', async () => {
    const privateKey = generatePrivateKey();
    const wallet = privateKeyToAccount(privateKey);
    const chain = chainOf(platform);
    await chain.fund(wallet.address, GIFT_MICROS);
    const inLedger = async () =>
      (await tally.deposits.reserves()).reserves.reduce((sum, { ledgerMicros }) => sum + ledgerMicros, 0n);
    const [{ treasury }, before] = [await tally.deposits.reserves(), await inLedger()];
    const tx = await chain.pay(wallet, treasury, GIFT_MICROS);
    await until('it is in the ledger', async () => (await inLedger()) === before + GIFT_MICROS);
    const { secret } = await login({ baseUrl: platform.url, signer: signerOfPrivateKey(privateKey) });
    const mine = connect({ baseUrl: platform.url, apiKey: secret });
    const told = async () => (await Array.fromAsync(mine.deposits.list())).map((one) => [one.tx, one.status]);
    assert.deepEqual(await told(), [[tx, DepositStatus.PARKED]]);
    assert.ok(!(await Array.fromAsync(tally.deposits.list())).some((one) => one.tx === tx), 'others see nothing of it');
    const { id, balanceMicros } = await mine.deposits.claim(tx);
    assert.equal(balanceMicros, GIFT_MICROS);
    for (const named of [tx, id]) await assert.rejects(mine.deposits.claim(named), { code: 'deposit_not_parked' });
    await assert.rejects(tally.deposits.claim(id), { code: 'not_found' });
    assert.equal((await mine.balance()).balanceMicros, GIFT_MICROS);
    await until('it is shown as credited', async () => (await told())[0]![1] === DepositStatus.CREDITED);
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

describe('deposits on a chain, three blocks deep', { concurrency: 1 }, () => {
  let platform: Platform;
  let chain: ChainHand;
  before(async () => {
    platform = await startPlatform({ env: { CHAIN_CONFIRMATIONS: '3' } });
    chain = chainOf(platform);
  });
  after(() => platform[Symbol.asyncDispose]());

  test('what waits is shown with its depth, block by block, and is money only when it is deep enough', async () => {
    const { tally } = await newcomer(platform.url);
    const { address, confirmationsNeeded } = await tally.deposits.address();
    assert.equal(confirmationsNeeded, 3);
    await chain.fund(address, GIFT_MICROS);
    const look = async (): Promise<ChainDeposit | undefined> => {
      const { balanceMicros } = await tally.balance();
      const [found] = await Array.fromAsync(tally.deposits.list());
      if (found?.status !== DepositStatus.CREDITED) assert.equal(balanceMicros, 0n, 'it was no money yet a moment ago');
      return found;
    };
    for (const depth of [1n, 2n]) {
      const found = await until(`${depth} of 3`, async () => {
        const one = await look();
        return one?.confirmations === depth && one;
      });
      assert.deepEqual([found.status, found.confirmationsNeeded], [DepositStatus.SEEN, 3]);
      await chain.mine();
    }
    const credited = await until('it is credited', async () => {
      const one = await look();
      return one?.status === DepositStatus.CREDITED && one;
    });
    assert.ok(credited.confirmations! >= 3n);
    assert.equal((await tally.balance()).balanceMicros, GIFT_MICROS);
  });
});
