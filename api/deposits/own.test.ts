// Deposits from a wallet before it had an account, on a real chain: their payer finds them, by id and by transaction; nobody else does.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Engine, StreamRow } from '@tallystick/engine';
import { type Chain, openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import { type JsonObject, SUSPENSE } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { ApiRefusal } from '@tallystick/surface';
import { type DepositState, depositIdOf, depositStream, railStream } from '@tallystick/treasury';
import type { Desk } from './desk.ts';
import { depositMeant, listOwnDeposits } from './own.ts';

type Wallet = Awaited<ReturnType<TestChain['wallet']>>;

const MICROS = 300n;

describe('deposits of nobody known', { concurrency: 1 }, () => {
  let engine: Engine & AsyncDisposable;
  let given: TestChain;
  let chain: Chain;
  let desk: Desk;
  let [ann, bob]: Wallet[] = [];
  let asked = 0;

  const principalOf = ({ address }: Wallet): string => `eip155:1:${address.toLowerCase()}`;
  const ask = async (stream: string, type: string, body: JsonObject = {}, principal = 'platform') => {
    const outcome = await engine.execute({ principal, key: `k${++asked}`, stream, type, body });
    await engine.settled();
    return outcome;
  };
  const claim = (who: Wallet, id: string) =>
    ask(`account:${principalOf(who)}`, 'ClaimDeposit', { deposit_id: id }, principalOf(who));
  const told = async (who: Wallet, page: { limit: number; after?: number } = { limit: 50 }): Promise<StreamRow[]> =>
    listOwnDeposits(engine, principalOf(who), page);
  const shown = (rows: StreamRow[]) =>
    rows.map(({ state }) => state as unknown as DepositState).map(({ id, status }) => [id, status]);

  /** Pays the treasury; what is answered then is parked, unless it is left to wait for blocks. */
  async function send(who: Wallet, status: 'seen' | 'parked' = 'parked'): Promise<{ tx: `0x${string}`; id: string }> {
    const { treasury } = given.config;
    const tx = await given.pay(who, treasury, MICROS);
    const [{ block, ordinal, payer, payee }] = (await chain.transfersIn(tx, treasury)) as [
      Awaited<ReturnType<Chain['transfers']>>[0],
    ];
    const id = depositIdOf(chain.key, { tx, ordinal });
    const place = {
      rail: chain.key,
      tx,
      ordinal: String(ordinal),
      block: String(block.number),
      block_hash: block.hash,
    };
    const amount = { amount_micros: String(MICROS) };
    await ask(depositStream(id), 'SeeDeposit', { ...place, ...amount, payer, payee, principal: SUSPENSE });
    const credit = { ...amount, deposit_id: id, source: chain.key, reference: `${tx}#${ordinal}` };
    if (status === 'parked') await ask(`account:${SUSPENSE}`, 'CreditDeposit', credit);
    return { tx, id };
  }

  before(async () => {
    engine = await newTestEngine({ rules: RULES });
    given = await startTestChain();
    chain = await openChain(given.config);
    desk = { engine, link: { chain: async () => chain } } as unknown as Desk;
    [ann, bob] = [await given.wallet(3_000n), await given.wallet(3_000n)];
    const { token, treasury, factory } = given.config;
    await ask('ledger:platform', 'OpenLedger', { providers: [] });
    await ask(railStream(chain.key), 'OpenRail', { token, treasury, factory });
    for (const who of [SUSPENSE, principalOf(ann), principalOf(bob)]) await ask(`account:${who}`, 'OpenAccount');
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
    await given[Symbol.asyncDispose]();
  });

  test('their payer sees them among its own, newest first and page by page; others do not', async () => {
    const first = await send(ann!);
    await send(bob!);
    const second = await send(ann!);
    assert.equal((await claim(ann!, first.id)).rejection, undefined);
    const third = await send(ann!, 'seen');
    const all = [
      [third.id, 'seen'],
      [second.id, 'parked'],
      [first.id, 'credited'],
    ];
    assert.deepEqual(shown(await told(ann!)), all);
    const pages: unknown[] = [];
    for (let last: number | undefined; ; ) {
      const rows = await told(ann!, { limit: 1, ...(last === undefined ? {} : { after: last }) });
      if (rows.length === 0) break;
      pages.push(...shown(rows));
      last = rows[0]!.createdPos!;
    }
    assert.deepEqual(pages, all);
  });

  test('one is claimed by the hash of its transaction, and claimed again it is told to be there', async () => {
    const { tx, id } = await send(ann!);
    for (const named of [id, tx, tx.toUpperCase().replace('0X', '0x')])
      assert.equal(await depositMeant(desk, principalOf(ann!), named), id);
    assert.equal((await claim(ann!, id)).rejection, undefined);
    assert.equal(await depositMeant(desk, principalOf(ann!), tx), id);
    const { rejection, facts } = await claim(ann!, id);
    assert.deepEqual([rejection, facts], ['DEPOSIT_NOT_PARKED', { id, status: 'credited' }]);
  });

  test('of several in one transaction the first that is still parked is meant', async () => {
    const [one, two] = [await send(ann!), await send(ann!)];
    const transfers = [one, two].map(({ tx }) => chain.transfersIn(tx, given.config.treasury));
    const together = (await Promise.all(transfers)).flat();
    const transfersIn = async (_tx: string, payee: string) => together.filter((each) => each.payee === payee);
    const batch = { engine, link: { chain: async () => ({ ...chain, transfersIn }) } } as unknown as Desk;
    assert.equal(await depositMeant(batch, principalOf(ann!), one.tx), one.id);
    assert.equal((await claim(ann!, one.id)).rejection, undefined);
    assert.equal(await depositMeant(batch, principalOf(ann!), one.tx), two.id);
  });

  test('a transaction of somebody else, and one that nobody knows, bring nothing', async () => {
    const { tx } = await send(bob!);
    for (const named of [tx, `0x${'7'.repeat(64)}`])
      await assert.rejects(
        depositMeant(desk, principalOf(ann!), named),
        (fault) => fault instanceof ApiRefusal && fault.code === 'NOT_FOUND' && fault.message.includes(named),
      );
  });
});
