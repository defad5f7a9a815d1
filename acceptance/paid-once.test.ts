/**
 * Paying a 402 on a whole platform, while everything around it fails.
 * Promise: a payment is taken once, credited once, to the account of the API key; the request that lacked the money runs once.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { QuoteStatus } from '@tallystick/sdk';
import type { PrivateKeyAccount } from 'viem/accounts';
import { bookProblems, query } from './harness/books.ts';
import { type Newcomer, newcomer } from './harness/newcomer.ts';
import {
  type Accepted,
  type Answer,
  type Asked,
  offersIn,
  type PayersChain,
  payersChain,
  paymentIn,
  post,
  signPayment,
} from './harness/payer.ts';
import { type Platform, startPlatform, temporaryFolder } from './harness/platform.ts';
import { signal } from './harness/processes.ts';
import { until } from './harness/until.ts';

const PURSE_MICROS = 50_000_000n;
const SHAPE = { cpu_millis: 100, ram_mib: 64, disk_mib: 32, quantum_ms: 60_000 };
/** A tenth of a core, a sixteenth of a GiB of memory, a thirty-second of disk. */
const SHAPE_MICROS_PER_MINUTE = 47n;
const SETTLED_MS_MAX = 60_000;
const ASKED_BEFORE = 100;
/** A little more than what a payment must be usable for when it is bound. */
const SOON_S = 14;
const LOOK_MS = 500;

describe('paid once', { concurrency: 1 }, () => {
  const folder = temporaryFolder();
  let platform: Platform;
  let chain: PayersChain;
  let payer: PrivateKeyAccount;
  before(async () => {
    platform = await startPlatform({ folder });
    chain = await payersChain(platform);
    payer = await chain.wallet(PURSE_MICROS);
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A request that costs money, of somebody who has none, and the first way to pay for it. */
  interface Purchase {
    who: Newcomer;
    key: string;
    offer: Accepted;
    refused: Answer;
    ask(more?: Omit<Asked, 'key'>): Promise<Answer>;
  }

  async function purchase(who?: Newcomer): Promise<Purchase> {
    const owner = who ?? (await newcomer(platform.url));
    const job = await owner.tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
    const key = randomUUID();
    const ask = (more: Omit<Asked, 'key'> = {}): Promise<Answer> =>
      post(`${platform.url}/v1/jobs/${job.id}/sandboxes`, owner.key.secret, SHAPE, { key, ...more });
    const refused = await ask();
    assert.equal(refused.status, 402, JSON.stringify(refused.body));
    return { who: owner, key, ask, refused, offer: offersIn(refused)[0]! };
  }

  const quoteOf = ({ who, offer }: Purchase) => who.tally.services.quotes.getQuote({ id: offer.extra.quoteId });
  const settled = ({ ask }: Purchase, more: Omit<Asked, 'key'> = {}): Promise<Answer> =>
    until(
      'the request is done',
      async () => {
        const answer = await ask(more).catch(() => undefined);
        assert.notEqual(answer?.status, 402, 'asked to pay again');
        return answer?.status === 200 && answer;
      },
      SETTLED_MS_MAX,
    );
  const machines = async ({ who }: Purchase) => (await Array.fromAsync(who.tally.sandboxes.list())).length;
  const purse = (offer: Accepted) => chain.balanceOf(offer.asset, payer.address);

  /** One transfer, one credit, one machine; the books are right. */
  async function assertPaidOnce(bought: Purchase, purseBefore: bigint): Promise<void> {
    const { who, offer } = bought;
    assert.equal(purseBefore - (await purse(offer)), BigInt(offer.amount), 'another sum left the wallet');
    const { depositedMicros } = await who.tally.balance();
    assert.equal(depositedMicros, BigInt(offer.amount), 'another sum was credited');
    assert.equal(await machines(bought), 1, 'the request did not run once');
    const status = await until('the quote is paid', async () => {
      const { status } = await quoteOf(bought);
      return status === QuoteStatus.PAID && status;
    });
    assert.equal(status, QuoteStatus.PAID);
    await assertPosted(bought);
  }

  /** Every credit has a posting from what we hold on the chain. */
  async function assertPosted({ who, offer }: Purchase): Promise<void> {
    const { principal } = await who.tally.balance();
    const rows = await query<{ debit: string; amount: bigint }>(
      folder,
      `select debit, amount from engine.posting where asset = 'usd' and credit = $1 and debit like 'chain:%'`,
      [`user:${principal}`],
    );
    assert.deepEqual(
      rows.map(({ debit, amount }) => [debit.endsWith(':treasury'), amount]),
      [[true, BigInt(offer.amount)]],
    );
    assert.deepEqual(await bookProblems(folder), []);
  }

  test('a 402 says what to pay, for how long it is enough, and is kept by nobody', async () => {
    const { refused, who, offer } = await purchase();
    const { principal } = await who.tally.balance();
    assert.equal(refused.headers.get('cache-control'), 'no-store');
    const offers = offersIn(refused);
    const [least, ...more] = offers.map(({ extra, amount }) => ({ label: extra.label, micros: BigInt(amount) }));
    assert.deepEqual(least, { label: 'minimum', micros: 100_000n });
    const priceMicros = SHAPE_MICROS_PER_MINUTE * 60n;
    for (const { label, micros } of more) {
      const hours = BigInt(/_([0-9]+)h$/.exec(label)![1]!);
      assert.ok(micros >= hours * priceMicros, `${label} is ${micros}`);
    }
    assert.equal(more.at(-1)?.label, 'safe_floor_48h');
    assert.deepEqual([offer.scheme, offer.extra.creditAccount], ['exact', principal]);
    const { code, quote_id, options, shortfall_micros } = refused.body as Record<string, string>;
    assert.deepEqual([code, quote_id, options!.length], ['insufficient_funds', offer.extra.quoteId, offers.length]);
    assert.ok(BigInt(shortfall_micros!) > 0n);
  });

  test('[I-40] [I-41] a paid retry runs the original request once, and says which transaction paid', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const answer = await bought.ask({ payment: header });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const { success, transaction, amount, payer: from } = paymentIn(answer);
    assert.deepEqual([success, amount, from], [true, bought.offer.amount, payer.address.toLowerCase()]);
    assert.equal((await chain.client.getTransactionReceipt({ hash: transaction })).status, 'success');
    const again = await bought.ask({ payment: header });
    assert.deepEqual([again.status, again.body['id']], [200, answer.body['id']]);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    await assertPaidOnce(bought, before);
  });

  test('a lost reply plus a retry pays once', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const gone = new AbortController();
    const lost = bought.ask({ payment: header, signal: gone.signal }).catch(() => undefined);
    await until('it is bound', async () => (await quoteOf(bought)).status !== QuoteStatus.OPEN);
    gone.abort();
    await lost;
    await settled(bought);
    await assertPaidOnce(bought, before);
  });

  test('five concurrent copies run once', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const answers = await Promise.all(Array.from({ length: 5 }, () => bought.ask({ payment: header })));
    assert.ok(
      answers.every(({ status }) => status === 200 || status === 503),
      JSON.stringify(answers.map(({ status, body }) => [status, body['code']])),
    );
    const ids = new Set(answers.filter(({ status }) => status === 200).map(({ body }) => body['id']));
    assert.ok(ids.size <= 1, 'two machines for one request');
    await settled(bought);
    await assertPaidOnce(bought, before);
  });

  test('five payers with five signatures of their own pay once', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const others = await Promise.all([1, 2, 3, 4].map(() => chain.wallet(PURSE_MICROS)));
    const headers = await Promise.all([payer, ...others].map((account) => signPayment(account, bought.offer)));
    await Promise.all(headers.map(({ header }) => bought.ask({ payment: header })));
    await settled(bought);
    const left = await Promise.all(others.map(({ address }) => chain.balanceOf(bought.offer.asset, address)));
    const spent = left.reduce((sum, one) => sum + PURSE_MICROS - one, before - (await purse(bought.offer)));
    assert.equal(spent, BigInt(bought.offer.amount));
    assert.equal((await bought.who.tally.balance()).depositedMicros, BigInt(bought.offer.amount));
    assert.equal(await machines(bought), 1);
    await assertPosted(bought);
  });

  test('[I-41] never a 402 while a payment is bound: 503, with and without it, until it is credited', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    signal(platform.pid('meter'), 'SIGSTOP');
    try {
      for (const more of [{ payment: header }, {}, { payment: header }]) {
        const { status, headers, body } = await bought.ask(more);
        assert.deepEqual(
          [status, body['code'], body['quote_id']],
          [503, 'payment_settling', bought.offer.extra.quoteId],
        );
        assert.ok(Number(headers.get('retry-after')) >= 1);
      }
    } finally {
      signal(platform.pid('meter'), 'SIGCONT');
    }
    await settled(bought);
    await assertPaidOnce(bought, before);
  });

  test('[I-40] a stranger who broadcasts the authorization first changes nothing', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const signed = await signPayment(payer, bought.offer);
    signal(platform.pid('meter'), 'SIGSTOP');
    try {
      const gone = new AbortController();
      const waiting = bought.ask({ payment: signed.header, signal: gone.signal }).catch(() => undefined);
      await until('it is bound', async () => (await quoteOf(bought)).status === QuoteStatus.BOUND);
      await chain.carry(bought.offer.asset, signed);
      gone.abort();
      await waiting;
    } finally {
      signal(platform.pid('meter'), 'SIGCONT');
    }
    await settled(bought, { payment: signed.header });
    await assertPaidOnce(bought, before);
  });

  test('[I-40] the credit goes to the account of the API key, whoever pays', async () => {
    const [bought, rich] = [await purchase(), await newcomer(platform.url)];
    const wallet = rich.signer as unknown as { address: string };
    assert.notEqual((await bought.who.tally.balance()).principal.endsWith(wallet.address.toLowerCase()), true);
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    await settled(bought, { payment: header });
    await assertPaidOnce(bought, before);
    assert.equal((await rich.tally.balance()).depositedMicros, 0n);
  });

  test('asked a hundred times before it is paid, the request still runs, once', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    for (let time = 0; time < ASKED_BEFORE; time += 1) {
      const again = await bought.ask();
      assert.deepEqual([again.status, offersIn(again)], [402, offersIn(bought.refused)]);
    }
    const { header } = await signPayment(payer, bought.offer);
    await settled(bought, { payment: header });
    await assertPaidOnce(bought, before);
  });

  test('while the chain is away a payment is not taken, and nothing is bound; later it is', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const died = platform.pid('chain');
    platform.pause();
    try {
      await platform.kill('chain');
      const { status, body } = await bought.ask({ payment: header });
      assert.deepEqual([status, body['code']], [503, 'chain_unreachable']);
      assert.equal((await quoteOf(bought)).status, QuoteStatus.OPEN);
    } finally {
      platform.resume();
    }
    await platform.untilReady([died]);
    await settled(bought, { payment: header });
    await assertPaidOnce(bought, before);
  });

  test('[I-41] a payment that can never come any more makes room for another offer', async () => {
    const bought = await purchase();
    const poor = await chain.wallet(BigInt(bought.offer.amount));
    const validBefore = String(Math.floor(Date.now() / 1_000) + SOON_S);
    const { header } = await signPayment(poor, bought.offer, { authorization: { validBefore } });
    signal(platform.pid('meter'), 'SIGSTOP');
    try {
      const gone = new AbortController();
      const waiting = bought.ask({ payment: header, signal: gone.signal }).catch(() => undefined);
      await until('it is bound', async () => (await quoteOf(bought)).status === QuoteStatus.BOUND);
      gone.abort();
      await waiting;
      const [to, nonce] = [`0x${'7'.repeat(40)}`, `0x${'7'.repeat(64)}`];
      await chain.carry(bought.offer.asset, await signPayment(poor, bought.offer, { authorization: { to, nonce } }));
    } finally {
      signal(platform.pid('meter'), 'SIGCONT');
    }
    const offer = await until(
      'it is offered anew',
      async () => {
        await chain.wallet(1n); // another block
        const gone = AbortSignal.timeout(LOOK_MS);
        const answer = await bought.ask({ signal: gone }).catch(() => undefined);
        return answer?.status === 402 && offersIn(answer)[0]!;
      },
      SETTLED_MS_MAX,
    );
    assert.notEqual(offer.extra.authNonce, bought.offer.extra.authNonce);
    const before = await purse(offer);
    const again = { ...bought, offer };
    await settled(again, { payment: (await signPayment(payer, offer)).header });
    await assertPaidOnce(again, before);
  });

  test('a contract wallet pays with its own kind of signature (ERC-1271), once', async () => {
    const bought = await purchase();
    const [owner, other] = [await chain.wallet(1n), await chain.wallet(1n)];
    const contract = await chain.contractWallet(owner, PURSE_MICROS);
    const forged = await signPayment({ ...contract, signTypedData: other.signTypedData }, bought.offer);
    const refused = await bought.ask({ payment: forged.header });
    assert.deepEqual([refused.status, refused.body['field']], [400, 'signature']);
    const { header } = await signPayment(contract, bought.offer);
    const answers = await Promise.all([bought.ask({ payment: header }), bought.ask({ payment: header })]);
    assert.ok(answers.every(({ status }) => status === 200 || status === 503));
    await settled(bought);
    const left = await chain.balanceOf(bought.offer.asset, contract.address);
    assert.equal(PURSE_MICROS - left, BigInt(bought.offer.amount));
    assert.equal(await machines(bought), 1);
    await assertPosted(bought);
  });

  test('[I-16] another request under the key of a quote is refused, with a payment or without, and the quote stands', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const job = await bought.who.tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
    for (const more of [{}, { payment: header }]) {
      const url = `${platform.url}/v1/jobs/${job.id}/sandboxes`;
      const { status, body } = await post(url, bought.who.key.secret, SHAPE, { key: bought.key, ...more });
      assert.deepEqual([status, body['code']], [409, 'idempotency_key_reused']);
    }
    assert.equal((await quoteOf(bought)).status, QuoteStatus.OPEN);
    await settled(bought, { payment: header });
    await assertPaidOnce(bought, before);
  });

  test('a header of another key, another person, another offer or another amount is refused, and nothing is bound', async () => {
    const [mine, other] = [await purchase(), await purchase()];
    const second = await purchase(mine.who);
    const before = await purse(mine.offer);
    const wrong = `0x${'5'.repeat(40)}` as const;
    const soon = String(Math.floor(Date.now() / 1_000) + 5);
    const late = String(Math.floor(Date.now() / 1_000) + 4_000);
    const rows: [string, string, string][] = [
      ['another key', (await signPayment(payer, second.offer)).header, 'accepted.extra.quoteId'],
      ['another person', (await signPayment(payer, other.offer)).header, 'accepted.extra.quoteId'],
      ['another payTo', await changed({ accepted: { payTo: wrong } }), 'accepted.payTo'],
      ['another amount', await changed({ accepted: { amount: '1' } }), 'accepted.amount'],
      ['another asset', await changed({ accepted: { asset: wrong } }), 'accepted.asset'],
      ['another network', await changed({ accepted: { network: 'eip155:1' } }), 'accepted.network'],
      ['pays somebody else', await changed({ authorization: { to: wrong } }), 'to'],
      ['pays less', await changed({ authorization: { value: '1' } }), 'value'],
      ['is over soon', await changed({ authorization: { validBefore: soon } }), 'validBefore'],
      ['is never over', await changed({ authorization: { validBefore: late } }), 'validBefore'],
      ['is of the future', await changed({ authorization: { validAfter: late } }), 'validAfter'],
      ['is signed by nobody', await changed({ signature: `0x${'11'.repeat(65)}` }), 'signature'],
      ['is not base64', '{}', 'payment-signature'],
      ['is not JSON', Buffer.from('nothing').toString('base64'), 'payment-signature'],
    ];
    function changed(change: Parameters<typeof signPayment>[2]): Promise<string> {
      return signPayment(payer, mine.offer, change).then(({ header }) => header);
    }
    for (const [what, payment, field] of rows) {
      const { status, body } = await mine.ask({ payment });
      assert.deepEqual([status, body['code'], body['field']], [400, 'payment_invalid', field], what);
    }
    const poor = await signPayment(await chain.wallet(1n), mine.offer);
    assert.deepEqual((await mine.ask({ payment: poor.header })).body['field'], 'authorization', 'an empty wallet');
    const huge = await mine.ask({ payment: 'a'.repeat(9_000) });
    assert.deepEqual([huge.status, huge.body['code']], [400, 'invalid_request']);
    for (const one of [mine, other, second]) assert.equal((await quoteOf(one)).status, QuoteStatus.OPEN);
    assert.equal(await purse(mine.offer), before);
    await settled(mine, { payment: (await signPayment(payer, mine.offer)).header });
    await assertPaidOnce(mine, before);
  });

  test('a crash of the meter between broadcast and receipt credits once', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const asked = bought.ask({ payment: header }).catch(() => undefined);
    await until('the money has moved', async () => (await purse(bought.offer)) < before);
    const died = platform.pid('meter');
    await platform.kill('meter');
    await platform.untilReady([died]);
    await asked;
    await settled(bought);
    await assertPaidOnce(bought, before);
  });

  test('a crash of the api with the payment in its hands pays once', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const asked = bought.ask({ payment: header }).catch(() => undefined);
    await until('it is bound', async () => (await quoteOf(bought).catch(() => undefined))?.status !== QuoteStatus.OPEN);
    const died = platform.pid('api');
    await platform.kill('api');
    await platform.untilReady([died]);
    await asked;
    await settled(bought, { payment: header });
    await assertPaidOnce(bought, before);
  });

  test('a restart never charges again', async () => {
    const bought = await purchase();
    const before = await purse(bought.offer);
    const { header } = await signPayment(payer, bought.offer);
    const first = await settled(bought, { payment: header });
    await platform.stop();
    platform = await startPlatform({ folder, isFoundAgain: true });
    chain = await payersChain(platform);
    const url = platform.url;
    const { key, who } = bought;
    const path = `${url}/v1/jobs/${String(first.body['job_id'])}/sandboxes`;
    for (const more of [{}, { payment: header }]) {
      const again = await post(path, who.key.secret, SHAPE, { key, ...more });
      assert.deepEqual([again.status, again.body['id']], [200, first.body['id']]);
    }
    assert.equal(before - (await purse(bought.offer)), BigInt(bought.offer.amount));
    assert.deepEqual(await bookProblems(folder), []);
  });
});
