// A machine without money, as who asks it for work meets it: told, paid for, waited for; on a real database and a real chain.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Engine, FROM_START, readReceipts, readStream } from '@tallystick/engine';
import { openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import type { SandboxState } from '@tallystick/hosting';
import { dayOf, type JsonObject } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { ApiRefusal, type Call } from '@tallystick/surface';
import { depositStream, railStream } from '@tallystick/treasury';
import { commandFrom, executeFor } from '../outcome.ts';
import { quoteOf } from '../quotes/quotes.ts';
import { callOf, signedPayment, tillOf } from '../testing.ts';
import { workingSandbox } from './working-sandbox.ts';

const ANN = `eip155:1:0x${'a'.repeat(40)}`;
const [ID, AT] = ['sbx_1', 'sandbox:sbx_1'];
const STEP_MICROS = 6n;
const PAID_MICROS = 1_000n;
const GRACE_MS = 120_000;
const WAIT_MS_MAX = 5_000;
const MACHINE = {
  ...{
    job: 'job_1',
    payer: ANN,
    provider: 'local',
    isolation: 'ns',
    label: '',
    image: '',
    image_digest: 'd'.repeat(64),
  },
  ...{ security_mode: 'standard', cpu_millis: 600, ram_mib: 1_024, disk_mib: 4_096, incarnation: 1 },
  ...{ max_spend_micros: null, ttl_ms: null, idle_timeout_ms: null, quantum_ms: 1_000, default_quantum_ms: 60_000 },
  grace_ms: GRACE_MS,
};

/** One step was paid and is over; the account is empty. */
async function newScene() {
  const [engine, given] = [await newTestEngine({ rules: RULES }), await startTestChain()];
  const chain = await openChain(given.config);
  const gas = { isEnough: async () => true, settlements: async () => 100n };
  const till = { ...tillOf(engine, chain, ''), gas };
  let asked = 0;
  const ask = async (principal: string, stream: string, type: string, body: JsonObject = {}): Promise<void> => {
    asked += 1;
    const { rejection } = await engine.execute({ principal, key: `ask ${asked}`, stream, type, body });
    assert.equal(rejection, undefined, `${type} of ${stream}`);
  };
  const credit = (micros: bigint, more: JsonObject = {}) =>
    ask('platform', `account:${ANN}`, 'CreditDeposit', {
      ...{ deposit_id: `dep_${asked}`, amount_micros: String(micros), source: 'development', reference: '' },
      ...more,
    });
  const state = async () => (await readStream(engine, AT))!.state as unknown as SandboxState;
  const report = (type: string, body: JsonObject) => ask('provider:local', AT, type, { incarnation: 1, ...body });
  await ask('platform', 'ledger:platform', 'OpenLedger', { providers: ['local'] });
  await ask('platform', `account:${ANN}`, 'OpenAccount');
  await credit(STEP_MICROS);
  const bounds = { ttl_ms: null, idle_timeout_ms: null, sandboxes_max: null };
  await ask(ANN, 'job:job_1', 'OpenJob', { label: '', max_total_spend_micros: '5000', ...bounds });
  await ask(ANN, AT, 'OpenSandbox', { ...MACHINE, day: dayOf(engine.nowUs()) });
  await report('ReportStarted', { started_at_us: String(engine.nowUs()), isolation: 'ns', image_version: 'v1' });
  while (!(await state()).is_unfunded)
    await ask('timer', AT, 'SellMinute', { job: 'job_1', payer: ANN, provider: 'local', day: dayOf(engine.nowUs()) });
  await report('ReportFrozen', { at_us: (await state()).paid_until_us });
  const { token, treasury, factory } = given.config;
  await ask('platform', railStream(chain.key), 'OpenRail', { token, treasury: treasury.toLowerCase(), factory });
  return {
    ...{ engine, given, till, credit, state },
    receipts: async () => (await readReceipts(engine, { stream: AT, after: FROM_START, limit: 100 })).length,
    /** The next step is sold, and the machine has its lease. */
    async thaws(): Promise<void> {
      while ((await state()).is_unfunded) await engine.settled();
      await report('ReportThawed', { at_us: String(engine.nowUs()) });
    },
    /** By a wallet of its own, for what was offered under the key. */
    async signed(key: string) {
      const [wallet, quote] = [
        await given.wallet(PAID_MICROS),
        (await quoteOf(engine, callOf({ principal: ANN, key })))!,
      ];
      return { header: await signedPayment(given, wallet, quote), payer: wallet.address.toLowerCase() };
    },
    /** The watcher found the payment of this quote, deep enough. */
    async paid(key: string, payer: string): Promise<void> {
      const quote = (await quoteOf(engine, callOf({ principal: ANN, key })))!;
      const [nonce, micros] = [quote.auth_nonce, quote.options[0]!.amount_micros];
      await ask('platform', depositStream('dep_paid'), 'SeeDeposit', {
        ...{ rail: chain.key, tx: '0x7', ordinal: '0', block: '5', block_hash: '0xb5', authorization: nonce },
        ...{ payer, payee: treasury.toLowerCase(), amount_micros: micros, principal: ANN },
      });
      const payment = { deposit_id: 'dep_paid', source: chain.key, reference: '0x7#0', quote_id: quote.id };
      await credit(BigInt(micros), { ...payment, payment: { payer, nonce } });
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await given[Symbol.asyncDispose]();
    },
  };
}

/** Waits for nothing. */
const now = (key = 'k', payment?: string): Call => callOf({ principal: ANN, key, payment });
const patient = (key = 'k', payment?: string): Call =>
  callOf({ principal: ANN, key, payment, signal: AbortSignal.timeout(WAIT_MS_MAX) });

const refusalOf = (work: Promise<unknown>): Promise<ApiRefusal> =>
  work.then(
    () => assert.fail('it was not refused'),
    (fault: unknown) => {
      if (!(fault instanceof ApiRefusal)) throw fault;
      return fault;
    },
  );

test('a machine without money: why, until when and how much, and nothing of it on record; money lets it go on at once', async () => {
  await using scene = await newScene();
  const [before, { paid_until_us }] = [await scene.receipts(), await scene.state()];
  const refusal = await refusalOf(workingSandbox(scene.engine, now(), ID));
  const endsAt = new Date(Number(BigInt(paid_until_us) / 1_000n) + GRACE_MS).toISOString();
  assert.deepEqual([refusal.code, refusal.headers], ['SANDBOX_UNFUNDED', {}]);
  assert.deepEqual(refusal.facts, {
    ...{ sandbox: ID, ends_at: endsAt },
    ...{ required_micros: '6', available_micros: '0', shortfall_micros: '6' },
  });
  assert.equal(await scene.receipts(), before);
  await scene.credit(STEP_MICROS);
  assert.equal((await refusalOf(workingSandbox(scene.engine, now(), ID))).code, 'PROVIDER_UNREACHABLE', 'not yet');
  const waiting = workingSandbox(scene.engine, patient(), ID);
  await scene.thaws();
  assert.equal((await waiting).status, 'running');
});

test('money that becomes the next minute between two looks is not asked for once more', async () => {
  for (const withTill of [false, true]) {
    await using scene = await newScene();
    let isNews = true;
    const engine: Engine = new Proxy(scene.engine, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (name !== 'query') return typeof member === 'function' ? member.bind(target) : member;
        return async (statement: { name: string }, values: unknown[]) => {
          if (statement.name === 'readBalances' && isNews) {
            isNews = false;
            await scene.credit(STEP_MICROS);
            while ((await scene.state()).is_unfunded) await target.settled();
          }
          return target.query(statement as never, values as never);
        };
      },
    });
    const till = { ...scene.till, desk: { ...scene.till.desk, engine } };
    const { code } = await refusalOf(workingSandbox(engine, now(), ID, withTill ? till : undefined));
    assert.deepEqual([code, isNews], ['PROVIDER_UNREACHABLE', false], 'it is paid, and on its way');
  }
});

test('[I-41] a command for a machine without money is paid for by itself: one offer, one payment, then the machine works', async () => {
  await using scene = await newScene();
  const { engine, till } = scene;
  const offers = [1, 2].map(() => refusalOf(workingSandbox(engine, now(), ID, till)));
  const [first, again] = (await Promise.all(offers)) as [ApiRefusal, ApiRefusal];
  assert.deepEqual([first.code, first.facts['quote_id']], ['SANDBOX_UNFUNDED', again.facts['quote_id']]);
  assert.ok(first.headers['payment-required']);
  assert.equal(first.facts['sandbox'], ID);
  const other = { ...now(), principal: now().principal, idempotencyKey: 'k', fingerprint: 'ff'.repeat(32) } as Call;
  assert.equal((await refusalOf(workingSandbox(engine, other, ID, till))).code, 'IDEMPOTENCY_KEY_REUSED');
  const { header, payer } = await scene.signed('k');
  for (const payment of [header, undefined])
    assert.equal((await refusalOf(workingSandbox(engine, now('k', payment), ID, till))).code, 'PAYMENT_SETTLING');
  const told: string[] = [];
  const listening = { ...patient('k', header), setHeader: (name: string) => void told.push(name) } as Call;
  const waiting = workingSandbox(engine, listening, ID, till);
  await scene.paid('k', payer);
  await scene.thaws();
  assert.equal((await waiting).status, 'running');
  assert.ok(told.includes('payment-response'));
  told.length = 0;
  await workingSandbox(engine, listening, ID, till);
  assert.deepEqual(told, ['payment-response'], 'a repetition is told of the payment, too');
});

test('[I-15] a command that met the machine as its money ended is carried out under the same key when there is money, once', async () => {
  await using scene = await newScene();
  const { engine } = scene;
  const start = () => {
    const body = { exec_id: 'exec_1', argv_sha256: '00', program: 'ls', timeout_ms: null };
    return executeFor(engine, now(), commandFrom(now(), { stream: AT, type: 'StartExec', body }));
  };
  assert.equal((await refusalOf(start())).code, 'SANDBOX_UNFUNDED');
  await scene.credit(STEP_MICROS);
  await scene.thaws();
  const [first, again] = [await start(), await start()];
  assert.deepEqual([first.replayed, again.replayed, again.receiptId], [false, true, first.receiptId]);
});
