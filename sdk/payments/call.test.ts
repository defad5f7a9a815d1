/** Two platforms, two accounts, one key: two calls, and what is allowed, signed or settled for one is nothing to the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PaymentOption } from '@tallystick/surface/client';
import { ApiError, approvePayment, memoryIntents, newPrivateKey, signerOfPrivateKey, spendGuard } from '../index.ts';
import { originOf } from './call.ts';

const NOW_MS = 1_790_000_000_000;
const PAYEE = { network: 'eip155:8453', asset: `0x${'a'.repeat(40)}`, payTo: `0x${'b'.repeat(40)}` };
const signer = signerOfPrivateKey(newPrivateKey());

/** Each offer has a nonce of its own, as each platform's quotes do. */
function option(amountMicros: bigint, n: number, creditAccount: string): PaymentOption {
  const named = { name: 'USD Coin', version: '2', quoteId: `quo_${n}`, creditAccount };
  const extra = { ...named, authNonce: `0x${String(n).padStart(64, '0')}` };
  const written = { scheme: 'exact', ...PAYEE, amount: String(amountMicros), maxTimeoutSeconds: 60, extra };
  return { scheme: 'exact', ...PAYEE, amountMicros, maxTimeoutS: 60, extra, written };
}

const callAt = (platform: string, path = '/v1/jobs') => ({
  idempotencyKey: 'monday',
  method: 'POST',
  url: `${platform}${path}`,
  signal: undefined,
});

/** One wallet; both platforms are paid at the same place. */
function scene(perPaymentMicros: bigint) {
  const nowMs = (): number => NOW_MS;
  const intents = memoryIntents(nowMs);
  const guard = spendGuard({ perPaymentMicros, perDayMicros: 1_000n, allow: [PAYEE], signer, intents, nowMs });
  const pay = (at: string, offered: PaymentOption, path?: string): Promise<string> =>
    guard.pay({ error: '', options: [offered] }, callAt(at, path));
  const refusedId = async (asked: Promise<unknown>): Promise<string> => {
    const fault = await asked.catch((thrown: unknown) => thrown);
    assert.ok(fault instanceof ApiError && fault.code === 'payment_above_limit', String(fault));
    return String(fault.problem['payment_id']);
  };
  const statuses = async () => (await intents.read()).map(({ origin, account, status }) => [origin, account, status]);
  return { guard, intents, pay, refusedId, statuses };
}

const [A, B] = ['https://a.example', 'https://b.example:8443'];

test('what a person allowed for one platform’s call stays refused at another, and is kept beside it', async () => {
  const { intents, pay, refusedId, statuses } = scene(0n);
  const id = await refusedId(pay(A, option(9n, 1, 'ours')));
  await approvePayment(intents, id, signer, { nowMs: () => NOW_MS + 60_000 }); // the offer is over: allowed, not signed
  const other = await refusedId(pay(B, option(9n, 2, 'ours')));
  const third = await refusedId(pay(A, option(9n, 3, 'another')));
  assert.equal(new Set([id, other, third]).size, 3);
  assert.deepEqual((await statuses()).toSorted(), [
    [A, 'another', 'refused'],
    [A, 'ours', 'approved'],
    [B, 'ours', 'refused'],
  ]);
  assert.notEqual(await pay(A, option(9n, 4, 'ours'), '/v1/jobs?again'), '');
});

test('a payment under way at one platform holds up no other; what one says of it is said of its own', async () => {
  const { guard, pay, statuses } = scene(100n);
  const [first, second] = [await pay(A, option(9n, 1, 'ours')), await pay(B, option(9n, 2, 'ours'))];
  assert.notEqual(first, second);
  assert.equal(await pay(A, option(9n, 1, 'ours')), first, 'the same call gets what it had');
  await guard.accepted!(callAt(A));
  const said = { transaction: '0x1', network: PAYEE.network, payer: signer.address, amountMicros: 9n };
  await guard.settled!({ ...said, idempotencyKey: 'monday' }, callAt(B));
  assert.deepEqual(await statuses(), [
    [A, 'ours', 'bound'],
    [B, 'ours', 'settled'],
  ]);
});

test('a platform is scheme, host and port; path and query are not it', () => {
  const rows = [
    ['https://a.example/v1/jobs?x=1#y', 'https://a.example'],
    ['https://A.example:443/', 'https://a.example'],
    ['http://127.0.0.1:8080/v1', 'http://127.0.0.1:8080'],
    ['nowhere', 'nowhere'],
  ] as const;
  for (const [url, origin] of rows) assert.equal(originOf(url), origin);
});
