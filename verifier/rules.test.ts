/** The product's own rules, verified from an export alone: money in, minutes sold, the end of the budget, the refund. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dayOf,
  type JsonObject,
  jcs,
  memoryWorld,
  type Receipt,
  RUN_TICKET_TYPE,
  receiptIdOf,
  sha256Hex,
  signEnvelope,
  type World,
} from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import type { VerifyReport } from './report.ts';
import { exportLines, LEASE_KEY } from './testing.ts';
import { verifyChunks } from './verify.ts';

const OWNER = 'eip155:1:0x00000000000000000000000000000000000000aa';
const START_US = 1_767_225_600_000_000n;
const US_PER_SECOND = 1_000_000n;
const JOB = { label: 'work', max_total_spend_micros: '1000', ttl_ms: null, idle_timeout_ms: null, sandboxes_max: null };
const SHAPE = {
  isolation: 'ns',
  security_mode: 'standard',
  cpu_millis: 600,
  ram_mib: 1_024,
  disk_mib: 4_096,
  image: '',
  image_digest: 'd'.repeat(64),
};
const LIMITS = { max_spend_micros: null, ttl_ms: null, idle_timeout_ms: null, quantum_ms: null };
const LEASE = { default_quantum_ms: 60_000, grace_ms: 120_000, incarnation: 1, provider: 'local' };

/** 360 micros a minute out of a budget of 1000: two minutes are sold, the machine stops, 20 seconds early. */
function oneLife(): World {
  const world = memoryWorld(RULES);
  let key = 0;
  const ask = (principal: string, stream: string, type: string, body: JsonObject, second: bigint): void => {
    const outcome = world.execute(
      { principal, key: `k${++key}`, stream, type, body },
      START_US + second * US_PER_SECOND,
    );
    assert.equal(outcome.rejection, undefined, `${type}: ${outcome.rejection}`);
  };
  const deposit = { deposit_id: 'dep_1', amount_micros: '5000', source: 'development', reference: '' };
  ask('platform', 'ledger:platform', 'OpenLedger', { providers: ['local'] }, 0n);
  ask('platform', `account:${OWNER}`, 'OpenAccount', {}, 0n);
  ask('platform', `account:${OWNER}`, 'CreditDeposit', deposit, 0n);
  ask(OWNER, 'job:job_1', 'OpenJob', JOB, 1n);
  const body = { job: 'job_1', payer: OWNER, day: dayOf(START_US), label: 'one', ...SHAPE, ...LIMITS, ...LEASE };
  ask(OWNER, 'sandbox:sbx_1', 'OpenSandbox', body, 2n);
  const started = {
    incarnation: 1,
    started_at_us: String(START_US + 3n * US_PER_SECOND),
    isolation: 'ns',
    image_version: 'v1',
  };
  ask('provider:local', 'sandbox:sbx_1', 'ReportStarted', started, 3n);
  world.advance(START_US + 100n * US_PER_SECOND);
  const at_us = String(START_US + 100n * US_PER_SECOND);
  ask(
    'provider:local',
    'sandbox:sbx_1',
    'ReportEnded',
    { incarnation: 1, at_us, ran_ms: 97_000, cpu_us: '0', reason: 'stopped' },
    101n,
  );
  return world;
}

/** As the meter signs them: what the rule put into the outbox, with the receipt it stands in. */
const signer =
  (world: World, other: JsonObject = {}) =>
  (receipt: Receipt, pos: number) =>
    world.outbox
      .filter((message) => message.pos === pos && message.body['ticket'] !== undefined)
      .map(({ body }) => {
        const id = receiptIdOf(0, pos, BigInt(receipt.at_us));
        const hash = sha256Hex(jcs(receipt as unknown as JsonObject));
        const ticket = { ...(body['ticket'] as JsonObject), receipt: id, receipt_hash: hash, ...other };
        return signEnvelope(RUN_TICKET_TYPE, ticket, LEASE_KEY);
      });

async function verify(lines: string[]): Promise<VerifyReport> {
  async function* bytes(): AsyncGenerator<Buffer> {
    yield Buffer.from(lines.join(''));
  }
  return verifyChunks(bytes());
}

test('[I-21] a whole life is decided again from its export, for the log and for the owner', async () => {
  const world = oneLife();
  const whole = await verify(await exportLines(world, { tickets: signer(world) }));
  assert.deepEqual(whole.problems, []);
  assert.deepEqual([whole.receipts, whole.redecided], [world.receipts.length, world.receipts.length]);
  assert.ok(whole.tickets >= 2);
  assert.deepEqual(new Set(whole.trial_balance.map(({ sum_micros }) => sum_micros)), new Set(['0']));
  const own = await verify(await exportLines(world, { owner: OWNER, tickets: signer(world) }));
  assert.deepEqual(own.problems, []);
  assert.equal(own.redecided, own.receipts);
});

test('[I-02] a ticket for longer than was sold is found under the product rules', async () => {
  const world = oneLife();
  const lines = await exportLines(world, { tickets: signer(world, { paid_until_us: '9999999999999999' }) });
  const report = await verify(lines);
  assert.ok(report.problems.every(({ what }) => /paid_until_us is 9999999999999999/.test(what)));
  assert.equal(report.ok, false);
});

test('[I-09] a refund that the books do not hold is found, although the log signed it', async () => {
  const world = oneLife();
  const pos = world.receipts.findIndex(({ events }) => events.some(({ type }) => type === 'SandboxEnded'));
  const ended = structuredClone(world.receipts[pos]!);
  for (const { body } of ended.events) body['refunded_micros'] = '1';
  const report = await verify(
    await exportLines({ ...world, receipts: world.receipts.with(pos, ended) }, { tickets: signer(world) }),
  );
  assert.ok(
    report.problems.some(
      (problem) => problem.pos === pos && /refunded_micros is not what the rules give/.test(problem.what),
    ),
  );
});
