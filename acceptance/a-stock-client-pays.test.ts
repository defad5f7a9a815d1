/**
 * The public x402 v2 client, unmodified, against a whole platform.
 * Promise: who can pay any x402 server can pay this one, knowing nothing of it but where it is.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ExactEvmScheme } from '@x402/evm/exact/client';
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { bookProblems } from './harness/books.ts';
import { type Newcomer, newcomer } from './harness/newcomer.ts';
import { type PayersChain, payersChain } from './harness/payer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';

const PURSE_MICROS = 5_000_000n;

describe('a stock client pays', { concurrency: 1 }, () => {
  let platform: Platform;
  let chain: PayersChain;
  let who: Newcomer;
  let paying: typeof fetch;
  let purse: () => Promise<bigint>;
  before(async () => {
    platform = await startPlatform();
    chain = await payersChain(platform);
    who = await newcomer(platform.url);
    const signer = await chain.fundKey(who.privateKey, PURSE_MICROS);
    const { network, token } = await who.tally.deposits.address();
    const client = x402Client.fromConfig({
      schemes: [{ network: network as `${string}:${string}`, client: new ExactEvmScheme(signer) }],
      spendControls: {
        allowedAssets: [
          { network: network as `${string}:${string}`, asset: token, maxAmountPerPayment: String(PURSE_MICROS) },
        ],
      },
    });
    paying = wrapFetchWithPayment(fetch, client);
    purse = () => chain.balanceOf(token as `0x${string}`, signer.address);
  });
  after(() => platform[Symbol.asyncDispose]());

  const post = (path: string, body: unknown, key: string): Promise<Response> =>
    paying(`${platform.url}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${who.key.secret}`,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: JSON.stringify(body),
    });

  test('it gets its machine, and is told which transaction paid', async () => {
    const job = await who.tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
    const key = randomUUID();
    const shape = { cpu_millis: 100, ram_mib: 64, disk_mib: 32, quantum_ms: 60_000 };
    const response = await post(`/v1/jobs/${job.id}/sandboxes`, shape, key);
    const body = (await response.json()) as { id: string };
    assert.equal(response.status, 200, JSON.stringify(body));
    const { success, transaction } = decodePaymentResponseHeader(response.headers.get('payment-response')!);
    assert.equal(success, true);
    const receipt = await chain.client.getTransactionReceipt({ hash: transaction as `0x${string}` });
    assert.equal(receipt.status, 'success');
    const spent = PURSE_MICROS - (await purse());
    assert.equal((await who.tally.balance()).depositedMicros, spent);
    const again = (await (await post(`/v1/jobs/${job.id}/sandboxes`, shape, key)).json()) as { id: string };
    assert.equal(again.id, body.id);
    assert.equal(PURSE_MICROS - (await purse()), spent, 'a repetition paid again');
  });

  test('it brings money, once for a key', async () => {
    const [key, before, deposited] = [randomUUID(), await purse(), (await who.tally.balance()).depositedMicros];
    const answers = [];
    for (let time = 0; time < 3; time += 1) {
      const response = await post('/v1/billing/top-up', { amount_micros: 1_000_000 }, key);
      const body = (await response.json()) as Record<string, unknown>;
      assert.deepEqual([response.status, body['amount_micros']], [200, 1_000_000], JSON.stringify(body));
      answers.push(body['id']);
    }
    assert.equal(new Set(answers).size, 1);
    assert.equal(before - (await purse()), 1_000_000n);
    assert.equal((await who.tally.balance()).depositedMicros - deposited, 1_000_000n);
    const quotes = await Array.fromAsync(who.tally.quotes.list());
    assert.equal(quotes.find(({ idempotencyKey }) => idempotencyKey === key)!.amountMicros, 1_000_000n);
    assert.deepEqual(await bookProblems(platform.folder), []);
  });
});
