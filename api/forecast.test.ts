// How long a balance lasts, as its reader is told in the very next answer: on a real database, by the handler itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newTestEngine } from '@tallystick/engine/testing';
import { dayOf, type JsonObject } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { depositStream, railStream } from '@tallystick/treasury';
import { billingHandlers } from './handlers/billing.ts';
import { callOf } from './testing.ts';

const ADDRESS = `0x${'a'.repeat(40)}`;
const [ANN, BOB] = [`eip155:1:${ADDRESS}`, `eip155:1:0x${'b'.repeat(40)}`];
const RAIL = 'eip155:1/0x0/0x1';
const STEP_MICROS = 360n;
const MACHINE = {
  ...{ provider: 'local', isolation: 'ns', label: '', image: '', image_digest: 'd'.repeat(64), incarnation: 1 },
  ...{ security_mode: 'standard', cpu_millis: 600, ram_mib: 1_024, disk_mib: 4_096, grace_ms: 120_000 },
  ...{ max_spend_micros: null, ttl_ms: null, idle_timeout_ms: null, quantum_ms: null, default_quantum_ms: 60_000 },
};

interface Balance {
  availableMicros: bigint;
  burnMicrosPerHour: bigint;
  fundedUntil?: { seconds: bigint };
  pendingMicros: bigint;
}

async function newScene() {
  const engine = await newTestEngine({ rules: RULES });
  let asked = 0;
  const ask = async (principal: string, stream: string, type: string, body: JsonObject = {}): Promise<void> => {
    asked += 1;
    const { rejection } = await engine.execute({ principal, key: `ask ${asked}`, stream, type, body });
    assert.equal(rejection, undefined, `${type} of ${stream}`);
  };
  const credit = (who: string, micros: bigint) =>
    ask('platform', `account:${who}`, 'CreditDeposit', {
      ...{ deposit_id: `dep_${asked}`, amount_micros: String(micros), source: 'development', reference: '' },
    });
  await ask('platform', 'ledger:platform', 'OpenLedger', { providers: ['local'] });
  const { getBalance } = billingHandlers({ engine, development: true, desk: undefined }).handlers;
  return {
    engine,
    ask,
    credit,
    async newcomer(who: string, job: string): Promise<void> {
      await ask('platform', `account:${who}`, 'OpenAccount');
      await credit(who, 10_000n);
      const bounds = { ttl_ms: null, idle_timeout_ms: null, sandboxes_max: null };
      await ask(who, `job:${job}`, 'OpenJob', { label: '', max_total_spend_micros: '5000', ...bounds });
    },
    start: (who: string, job: string, id: string) =>
      ask(who, `sandbox:${id}`, 'OpenSandbox', { ...MACHINE, job, payer: who, day: dayOf(engine.nowUs()) }),
    balance: async (): Promise<Balance> =>
      (await getBalance!({} as never, callOf({ principal: ANN, key: 'k' }))) as unknown as Balance,
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

test('burn and end move with a machine, with money and with the end of the machine, in the very next read', async () => {
  await using scene = await newScene();
  await scene.newcomer(ANN, 'job_a');
  const before = await scene.balance();
  assert.deepEqual([before.burnMicrosPerHour, before.fundedUntil, before.pendingMicros], [0n, undefined, 0n]);
  await scene.newcomer(BOB, 'job_b');
  await scene.start(BOB, 'job_b', 'sbx_b');
  assert.equal((await scene.balance()).burnMicrosPerHour, 0n, 'what others burn');
  await scene.start(ANN, 'job_a', 'sbx_a');
  const startsS = scene.engine.nowUs() / 1_000_000n;
  const running = await scene.balance();
  assert.deepEqual([running.availableMicros, running.burnMicrosPerHour], [10_000n - STEP_MICROS, 60n * STEP_MICROS]);
  const lastsS = running.fundedUntil!.seconds - startsS;
  const expectedS = (10_000n * 60n) / STEP_MICROS;
  assert.ok(lastsS >= expectedS - 1n && lastsS <= expectedS + 5n, `${lastsS} s of about ${expectedS}`);
  await scene.credit(ANN, 60n * STEP_MICROS);
  const richer = await scene.balance();
  const moreS = richer.fundedUntil!.seconds - running.fundedUntil!.seconds;
  assert.ok(moreS >= 3_600n && moreS <= 3_605n, `${moreS} s more for an hour's money`);
  await scene.ask(ANN, 'sandbox:sbx_a', 'StopSandbox');
  const stopped = await scene.balance();
  assert.deepEqual([stopped.burnMicrosPerHour, stopped.fundedUntil], [0n, undefined], 'no further minute is sold');
});

test('what is seen on the chain is pending until it is credited', async () => {
  await using scene = await newScene();
  await scene.newcomer(ANN, 'job_a');
  const treasury = `0x${'e'.repeat(40)}`;
  await scene.ask('platform', railStream(RAIL), 'OpenRail', { token: '0x01', treasury, factory: '0x02' });
  for (const ordinal of ['0', '1'])
    await scene.ask('platform', depositStream(`dep_${ordinal}`), 'SeeDeposit', {
      ...{ rail: RAIL, tx: '0x7', ordinal, block: '5', block_hash: '0xb5', principal: ANN },
      ...{ payer: ADDRESS, payee: treasury, amount_micros: '700' },
    });
  const { pendingMicros, availableMicros } = await scene.balance();
  assert.deepEqual([pendingMicros, availableMicros], [1_400n, 10_000n]);
  await scene.ask('platform', depositStream('dep_1'), 'LoseDeposit', { block_hash: '0xb5' });
  assert.equal((await scene.balance()).pendingMicros, 700n, 'the chain forgot the other');
});
