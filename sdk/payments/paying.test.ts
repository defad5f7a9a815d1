/** A client that pays: the same request under the same key, one payment, whatever is lost on the way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ApiError,
  connect,
  type IntentStore,
  memoryIntents,
  newPrivateKey,
  type Payment,
  type PaymentIntent,
  type SpendGuardOptions,
  signerOfPrivateKey,
  spendGuard,
} from '../index.ts';
import { type FakePlatform, startFakePlatform } from '../testing/fake-platform.ts';

const PRICE = 1_000n;
const signer = signerOfPrivateKey(newPrivateKey());

interface Scene extends AsyncDisposable {
  fake: FakePlatform;
  intents: IntentStore;
  payments: Payment[];
  /** Idempotency keys of requests, in order. */
  keys: string[];
  /** A client of its own, as another process would be. */
  client(change?: Partial<SpendGuardOptions>, send?: typeof fetch): ReturnType<typeof connect>;
}

async function scene(): Promise<Scene> {
  const fake = await startFakePlatform();
  fake.till.priceMicros = PRICE;
  const apiKey = fake.addKey();
  const intents = memoryIntents();
  const payments: Payment[] = [];
  const keys: string[] = [];
  const allow = [{ network: fake.till.network, asset: fake.till.asset, payTo: fake.till.payTo }];
  return {
    fake,
    intents,
    payments,
    keys,
    client: (change = {}, send = fetch) =>
      connect({
        baseUrl: fake.url,
        apiKey,
        payer: spendGuard({
          signer,
          perPaymentMicros: 10n * PRICE,
          perDayMicros: 50n * PRICE,
          allow,
          intents,
          ...change,
        }),
        onPayment: (payment) => void payments.push(payment),
        fetch: (input, init) => {
          keys.push(new Headers(init?.headers).get('idempotency-key') ?? '');
          return send(input, init);
        },
      }),
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

const takenMicros = ({ fake }: Scene): bigint[] => [...fake.till.taken.values()];
const create = (tally: ReturnType<typeof connect>, key?: string) =>
  tally.jobs.create({ maxTotalSpendMicros: 5n, ...(key === undefined ? {} : { key }) });
const refusal = async (asked: Promise<unknown>): Promise<ApiError> => {
  const fault = await asked.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(fault instanceof ApiError, String(fault));
  return fault;
};
const only = async ({ intents }: Scene): Promise<PaymentIntent> => {
  const [intent, ...others] = await intents.read();
  assert.ok(intent && others.length === 0);
  return intent;
};

test('[I-15] a call that lacks money is paid and made once, all under one key that the caller never named', async () => {
  await using s = await scene();
  const job = await create(s.client());
  assert.match(job.id, /^job_/);
  assert.deepEqual([takenMicros(s), s.fake.till.answers], [[PRICE], [402, 503, 503, 200]]);
  assert.deepEqual([s.keys.length, new Set(s.keys).size], [4, 1]);
  const [payment] = s.payments;
  assert.deepEqual(
    [s.payments.length, payment?.payer, payment?.amountMicros, payment?.idempotencyKey],
    [1, signer.address, PRICE, s.keys[0]],
  );
  const intent = await only(s);
  assert.deepEqual([intent.status, intent.tx], ['settled', payment?.transaction]);
});

test('tools are paid for alike', async () => {
  await using s = await scene();
  const job = await s.client().tools.call('job_create', { max_total_spend_micros: 9_000 });
  const sandbox = await s.client().tools.call('sandbox_create', { job_id: job['id']! });
  assert.match(String(sandbox['id']), /^sbx_/);
  assert.deepEqual(takenMicros(s), [PRICE, PRICE]);
});

test('uploads are paid for alike: their bytes are sent again', async () => {
  await using s = await scene();
  s.fake.till.charging = /^POST .*\/upload/;
  const sandbox = s.client().sandboxes.attach(`sbx_${'1'.repeat(32)}`);
  await sandbox.upload('a.txt', Buffer.from('all of it'));
  assert.deepEqual([takenMicros(s), String([...s.fake.files.values()][0])], [[PRICE], 'all of it']);
});

test('without a payer the 402 is told as it is', async () => {
  await using s = await scene();
  const tally = connect({ baseUrl: s.fake.url, apiKey: s.fake.addKey() });
  const { code, status, problem } = await refusal(create(tally));
  assert.deepEqual([code, status, problem['shortfall_micros']], ['insufficient_funds', 402, Number(PRICE)]);
});

/** Loses the answer to the n-th request: the platform has heard it, the caller has not. */
function losing(n: number): typeof fetch {
  let count = 0;
  return async (input, init) => {
    const response = await fetch(input, init);
    if (++count !== n) return response;
    await response.arrayBuffer();
    throw new TypeError('the connection broke');
  };
}

for (const n of [1, 2, 3, 4])
  test(`[I-15] a lost reply is no second payment: the answer to request ${n}`, async () => {
    await using s = await scene();
    await create(s.client({}, losing(n)), 'mine');
    assert.deepEqual(takenMicros(s), [PRICE]);
    assert.equal((await only(s)).status, 'settled');
  });

/** Dies before the n-th request leaves. */
const dying = (n: number): typeof fetch => {
  let count = 0;
  return async (input, init) => {
    if (++count >= n) throw new Error('the process died');
    return fetch(input, init);
  };
};

for (const n of [2, 3, 4])
  test(`[I-15] [I-44] a process that dies before request ${n} pays once with its successor, by the same header`, async () => {
    await using s = await scene();
    await assert.rejects(create(s.client({}, dying(n)), 'mine'), /died/);
    const { header } = await only(s);
    assert.notEqual(header, '');
    const headers: (string | null)[] = [];
    const listen: typeof fetch = (input, init) => {
      headers.push(new Headers(init?.headers).get('payment-signature'));
      return fetch(input, init);
    };
    await create(s.client({}, listen), 'mine');
    assert.deepEqual(takenMicros(s), [PRICE]);
    for (const sent of headers) assert.ok(sent === null || sent === header);
  });

test('[I-44] an intent that cannot be written down is a payment that never leaves', async () => {
  await using s = await scene();
  const full: IntentStore = {
    read: s.intents.read,
    change: async () => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
    },
  };
  await assert.rejects(create(s.client({ intents: full })), { code: 'ENOSPC' });
  assert.deepEqual([takenMicros(s), s.keys.length], [[], 1]);
});

test('a settled payment that is too little by now is followed by one for the rest, at most three of one call', async () => {
  await using s = await scene();
  s.fake.till.tooLittle = 2;
  await create(s.client());
  assert.deepEqual(takenMicros(s), [PRICE, PRICE, PRICE]);
  s.fake.till.tooLittle = 9;
  assert.equal((await refusal(create(s.client()))).code, 'insufficient_funds');
  assert.equal(s.fake.till.taken.size, 6);
});

test('another offer while the earlier payment may still be taken is not paid; when it is dead it is', async () => {
  await using s = await scene();
  let nowMs = Date.now();
  const change = { nowMs: () => nowMs };
  await assert.rejects(create(s.client(change, dying(2)), 'mine'), /died/);
  s.fake.till.lapse('mine');
  const { code, problem } = await refusal(create(s.client(change), 'mine'));
  assert.deepEqual([code, problem['payment_id']], ['payment_unresolved', (await only(s)).id]);
  assert.ok(Number(problem['retry_after_ms']) > s.fake.till.maxTimeoutS * 1000);
  assert.deepEqual(takenMicros(s), []);
  nowMs += Number(problem['retry_after_ms']);
  await create(s.client(change), 'mine');
  assert.deepEqual(takenMicros(s), [PRICE]);
});

test('above a limit a person is asked; a no is told, a yes pays', async () => {
  await using s = await scene();
  const asked: bigint[] = [];
  const asking = (answer: boolean) => ({
    perPaymentMicros: 0n,
    ask: async ({ amountMicros }: { amountMicros: bigint }) => {
      asked.push(amountMicros);
      return answer;
    },
  });
  const no = await refusal(create(s.client(asking(false)), 'mine'));
  assert.deepEqual([no.code, no.status, no.problem['idempotency_key']], ['payment_declined', 403, 'mine']);
  assert.deepEqual(takenMicros(s), []);
  await create(s.client(asking(true)), 'mine');
  assert.deepEqual([takenMicros(s), asked], [[PRICE], [PRICE, PRICE]]);
});

test('[I-44] what the wallet does not hold is not signed, and counts against no limit; when it is there it is paid', async () => {
  await using s = await scene();
  let held: bigint | undefined = PRICE - 1n;
  const asked: [string, bigint][] = [];
  const holds = async (address: string, { amountMicros }: { amountMicros: bigint }) => {
    asked.push([address, amountMicros]);
    return held;
  };
  const client = s.client({ holds, perDayMicros: PRICE });
  const { code, problem } = await refusal(create(client, 'mine'));
  assert.equal(code, 'payment_declined');
  assert.match(
    String(problem['cause']),
    /^the wallet holds \$0\.000999, and \$0\.001 is asked: put dollars of 0x.* into 0x/,
  );
  assert.match(String(problem['suggestion']), /same key: mine$/);
  assert.deepEqual([(await only(s)).status, takenMicros(s)], ['refused', []]);
  held = PRICE;
  await create(client, 'mine');
  assert.deepEqual([(await only(s)).status, takenMicros(s)], ['settled', [PRICE]]);
  assert.deepEqual(asked, Array(2).fill([signer.address, PRICE]));
});

test('a wallet that cannot be opened is a payment that waits for a person', async () => {
  await using s = await scene();
  const closed = { signer: async () => Promise.reject(new Error('no passphrase')) };
  const { code, problem } = await refusal(create(s.client(closed), 'mine'));
  assert.deepEqual([code, problem['cause']], ['payment_declined', 'no passphrase']);
  const { status, cause } = await only(s);
  assert.deepEqual([status, cause], ['refused', 'no passphrase']);
});

test('[I-15] a twin that heard the 402 before the other paid, and acts on it after, pays nothing', async () => {
  await using s = await scene();
  const heard = Promise.withResolvers<void>();
  const paid = Promise.withResolvers<void>();
  const late: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (response.status === 402) {
      heard.resolve();
      await paid.promise;
    }
    return response;
  };
  const second = create(s.client({}, late), 'mine');
  await heard.promise;
  const first = await create(s.client(), 'mine');
  paid.resolve();
  assert.ok(first.id !== '' && (await second).id !== '');
  assert.deepEqual(takenMicros(s), [PRICE]);
});

test('callers of one key at once pay once', async () => {
  await using s = await scene();
  const jobs = await Promise.all(Array.from({ length: 8 }, () => create(s.client(), 'mine')));
  assert.ok(jobs.length === 8);
  assert.deepEqual(takenMicros(s), [PRICE]);
});
