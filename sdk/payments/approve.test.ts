/** What a person allows: this call, this amount, once; signed while the offer stands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PaymentOption } from '@tallystick/surface/client';
import {
  ApiError,
  approvePayment,
  type Holds,
  isOfferOpen,
  memoryIntents,
  newPrivateKey,
  type SpendGuardOptions,
  signerOfPrivateKey,
  spendGuard,
} from '../index.ts';

const NOW_MS = 1_790_000_000_000;
const PAYEE = { network: 'eip155:8453', asset: `0x${'a'.repeat(40)}`, payTo: `0x${'b'.repeat(40)}` };
const signer = signerOfPrivateKey(newPrivateKey());
const call = { idempotencyKey: 'mine', method: 'POST', url: 'http://platform/v1/jobs?x=1', signal: undefined };

function option(amountMicros: bigint, n = 1): PaymentOption {
  const extra = { name: 'USD Coin', version: '2', quoteId: 'quo_1', authNonce: `0x${String(n).padStart(64, '0')}` };
  const written = { scheme: 'exact', ...PAYEE, amount: String(amountMicros), maxTimeoutSeconds: 60, extra };
  return { scheme: 'exact', ...PAYEE, amountMicros, maxTimeoutS: 60, extra, written };
}

function scene() {
  const clock = { nowMs: NOW_MS };
  const nowMs = (): number => clock.nowMs;
  const intents = memoryIntents(nowMs);
  const pay = async (option: PaymentOption, change: Partial<SpendGuardOptions> = {}): Promise<string> => {
    const limits = { perPaymentMicros: 0n, perDayMicros: 0n, allow: [PAYEE] };
    return spendGuard({ ...limits, signer, intents, nowMs, ...change }).pay({ error: '', options: [option] }, call);
  };
  const refused = async (asked: Promise<unknown>): Promise<ApiError> => {
    const fault = await asked.catch((thrown: unknown) => thrown);
    assert.ok(fault instanceof ApiError, String(fault));
    return fault;
  };
  const idOf = async (asked: Promise<unknown>): Promise<string> => String((await refused(asked)).problem['payment_id']);
  const approve = (id: string, holds?: Holds) => approvePayment(intents, id, signer, { holds, nowMs });
  return { clock, intents, pay, refused, idOf, approve };
}

const noSigner = { signer: () => Promise.reject(new Error('no wallet here')) };

test('while the offer stands it is signed, and the repeat needs no wallet', async () => {
  const { pay, idOf, approve, clock } = scene();
  const { header, status, call: what } = await approve(await idOf(pay(option(9n))));
  assert.deepEqual([status, what], ['signed', 'POST http://platform/v1/jobs']);
  clock.nowMs += 44_999;
  assert.equal(await pay(option(9n), noSigner), header);
});

test('[I-44] what the wallet does not hold is neither signed nor allowed, and leaves the day as it was', async () => {
  const { pay, idOf, approve, intents, refused } = scene();
  const id = await idOf(pay(option(9n)));
  const before = await intents.read();
  const asked: [string, bigint][] = [];
  const holding = (heldMicros: bigint | undefined) => async (address: string, option: PaymentOption) => {
    asked.push([address, option.amountMicros]);
    return heldMicros;
  };
  const { code, problem } = await refused(approve(id, holding(8n)));
  assert.equal(code, 'payment_declined');
  assert.deepEqual([problem['payment_id'], problem['asked_micros'], problem['idempotency_key']], [id, 9, 'mine']);
  assert.match(
    String(problem['cause']),
    /^the wallet holds \$0\.000008, and \$0\.000009 is asked: put dollars of 0xa+/,
  );
  assert.match(problem.suggestion, new RegExp(`allow ${id} again`));
  assert.deepEqual(await intents.read(), before);
  assert.equal((await approve(id, holding(9n))).status, 'signed');
  assert.deepEqual(asked, Array(2).fill([signer.address, 9n]));
});

test('where nobody knows what the wallet holds a person’s word is enough; an offer that is over asks nobody', async () => {
  const one = scene();
  const id = await one.idOf(one.pay(option(9n)));
  assert.equal((await one.approve(id, async () => undefined)).status, 'signed');
  const other = scene();
  const late = await other.idOf(other.pay(option(9n)));
  other.clock.nowMs += 60_000;
  assert.equal((await other.approve(late, () => assert.fail('asked'))).status, 'approved');
});

test('an offer stands as long as its platform says, also longer than its payment', async () => {
  const { clock, intents, idOf, approve } = scene();
  const limits = { perPaymentMicros: 0n, perDayMicros: 0n, allow: [PAYEE] };
  const guard = spendGuard({ ...limits, signer, intents, nowMs: () => clock.nowMs });
  const id = await idOf(guard.pay({ error: '', options: [option(9n)], expiresAtMs: NOW_MS + 600_000 }, call));
  clock.nowMs += 599_999;
  const { status, valid_before_s } = await approve(id);
  assert.deepEqual([status, valid_before_s], ['signed', Math.floor(clock.nowMs / 1000) + 60]);
});

test('allowed twice is allowed once', async () => {
  const { pay, idOf, approve, intents } = scene();
  const id = await idOf(pay(option(9n)));
  assert.deepEqual(await approve(id), await approve(id));
  assert.equal((await intents.read()).length, 1);
});

test('when the offer is over the next one may take what was allowed, and no more', async () => {
  const { pay, idOf, approve, clock, refused, intents } = scene();
  const id = await idOf(pay(option(9n)));
  clock.nowMs += 60_000;
  assert.equal(isOfferOpen((await intents.read())[0]!, clock.nowMs), false);
  assert.equal((await approve(id)).status, 'approved');
  for (const _ of [1, 2]) assert.equal((await refused(pay(option(10n, 2)))).code, 'payment_above_limit');
  assert.notEqual(await pay(option(9n, 3)), '');
  assert.deepEqual(
    (await intents.read()).map((one) => [one.id, one.status]),
    [[id, 'signed']],
  );
});

test('a refusal that comes late does not undo what a person signed meanwhile', async () => {
  const { pay, idOf, approve, intents } = scene();
  const id = await idOf(pay(option(9n)));
  const during = { ask: async () => (await approve(id)).status !== 'signed' };
  await pay(option(9n), during).catch(() => undefined);
  const { header } = (await intents.read())[0]!;
  assert.notEqual(header, '');
  assert.equal(await pay(option(9n)), header);
});

test('what was allowed is not lost by a wallet that does not open', async () => {
  const { pay, idOf, approve, clock, intents } = scene();
  const id = await idOf(pay(option(9n)));
  clock.nowMs += 60_000;
  await approve(id);
  await pay(option(9n, 2), noSigner).catch(() => undefined);
  assert.equal((await intents.read())[0]?.status, 'approved');
  assert.notEqual(await pay(option(9n, 2)), '');
});

test('what was allowed is used up by its payment', async () => {
  const { pay, idOf, approve, clock, refused } = scene();
  await approve(await idOf(pay(option(9n))));
  clock.nowMs += 120_000;
  assert.equal((await refused(pay(option(9n, 2)))).code, 'payment_above_limit');
});

test('it is not signed beside a payment of the same call that may still be taken', async () => {
  const { pay, idOf, approve, refused, intents } = scene();
  const id = await idOf(pay(option(9n)));
  // somebody else signed meanwhile, for another round
  const twin = { status: 'signed', id: 'pay_twin', turn: 2, nonce: 'another', valid_before_s: NOW_MS / 1000 } as const;
  await intents.change(([one]) => ({ put: [{ ...one!, ...twin }], answer: undefined }));
  assert.equal((await refused(approve(id))).code, 'payment_unresolved');
});

test('nobody allows what is not there', async () => {
  const { approve, refused } = scene();
  assert.equal((await refused(approve(`pay_${'0'.repeat(32)}`))).code, 'not_found');
});
