// The laws of hosting over random histories of owners, providers, timers and strangers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JobState, lostAfterMs, type SandboxState } from '@tallystick/hosting';
import { type JsonObject, userAccount, type World } from '@tallystick/kernel';
import { deciderLaws, LAW_START_US, type LawCommand } from '@tallystick/kernel/laws';
import type { AccountState } from '@tallystick/treasury';
import fc from 'fast-check';
import { RULES } from './index.ts';
import { type Bench, funded, JOB_BODY, OWNER, PROVIDER, SANDBOX_BODY, STRANGER } from './testing.ts';

const JOBS = ['job_1', 'job_2'];
const SANDBOXES = ['sbx_1', 'sbx_2', 'sbx_3'];

const by = (principal: string, stream: string, type: string, body: JsonObject = {}): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
const deposit = (n: number, amount: number) =>
  by('platform', `account:${OWNER}`, 'CreditDeposit', {
    deposit_id: `dep_${n}`,
    amount_micros: String(amount),
    source: 'development',
    reference: '',
  });

const SETUP: LawCommand[] = [
  by('platform', 'ledger:platform', 'OpenLedger', { providers: [PROVIDER] }),
  by('platform', `account:${OWNER}`, 'OpenAccount'),
  deposit(0, 900),
  by(OWNER, 'job:job_1', 'OpenJob', { ...JOB_BODY, max_total_spend_micros: '700' }),
];

/** A machine that runs already, so that short histories get far. */
const RUNNING: LawCommand[] = [
  by(OWNER, 'sandbox:sbx_1', 'OpenSandbox', {
    ...SANDBOX_BODY,
    quantum_ms: 10_000,
    idle_timeout_ms: 20_000,
    grace_ms: 20_000,
  }),
  by(`provider:${PROVIDER}`, 'sandbox:sbx_1', 'ReportStarted', {
    incarnation: 1,
    started_at_us: String(LAW_START_US),
    isolation: 'ns',
  }),
];

const job = fc.constantFrom(...JOBS);
const sandbox = fc.constantFrom('sbx_1', 'sbx_1', ...SANDBOXES);
const who = fc.oneof({ weight: 9, arbitrary: fc.constant(OWNER) }, { weight: 1, arbitrary: fc.constant(STRANGER) });
const spend = fc.option(fc.integer({ min: 1, max: 900 }).map(String));
const ttl = fc.option(fc.integer({ min: 1_000, max: 400_000 }));
const idle = fc.option(fc.integer({ min: 1_000, max: 90_000 }));
const quantum = fc.constantFrom(1_000, 1_500, 10_000, 60_000);
const moment = fc.bigInt({ min: -10_000_000n, max: 400_000_000n }).map((us) => String(LAW_START_US + us));
const reason = fc.constantFrom('lease_ended', 'oom', 'sandbox_lost', 'stopped', 'idle');

const opening = fc.record({ who, job, sandbox, spend, ttl, idle, quantum }).map((one) =>
  by(one.who, `sandbox:${one.sandbox}`, 'OpenSandbox', {
    ...SANDBOX_BODY,
    job: one.job,
    payer: one.who,
    max_spend_micros: one.spend,
    ttl_ms: one.ttl,
    idle_timeout_ms: one.idle,
    quantum_ms: one.quantum,
    grace_ms: 5_000,
  }),
);
const ofJobs: fc.Arbitrary<LawCommand>[] = [
  fc
    .record({ who, job, spend: fc.integer({ min: 1, max: 2_000 }), ttl, idle, max: fc.constantFrom(null, 1, 2) })
    .map((one) =>
      by(one.who, `job:${one.job}`, 'OpenJob', {
        label: '',
        max_total_spend_micros: String(one.spend),
        ttl_ms: one.ttl,
        idle_timeout_ms: one.idle,
        sandboxes_max: one.max,
      }),
    ),
  fc
    .record({ who, job, spend, ttl })
    .map((one) => by(one.who, `job:${one.job}`, 'ExtendJob', { add_spend_micros: one.spend, add_ttl_ms: one.ttl })),
  fc.record({ who, job }).map((one) => by(one.who, `job:${one.job}`, 'StopJob')),
  fc
    .record({ n: fc.integer({ min: 1, max: 5 }), amount: fc.integer({ min: 1, max: 900 }) })
    .map((one) => deposit(one.n, one.amount)),
];

const report = (type: string, body: fc.Arbitrary<JsonObject>): fc.Arbitrary<LawCommand> =>
  fc
    .record({ sandbox, body })
    .map((one) => by(`provider:${PROVIDER}`, `sandbox:${one.sandbox}`, type, { incarnation: 1, ...one.body }));
const started = report(
  'ReportStarted',
  moment.map((at) => ({ started_at_us: at, isolation: 'ns' })),
);
const ofProviders: fc.Arbitrary<LawCommand>[] = [
  started,
  started,
  report('ReportStartFailed', fc.constant({ cause: 'x' })),
  report(
    'ReportFrozen',
    moment.map((at) => ({ at_us: at })),
  ),
  report(
    'ReportThawed',
    moment.map((at) => ({ at_us: at })),
  ),
  report(
    'ReportEnded',
    fc.record({ at_us: moment, ran_ms: fc.integer({ min: 0, max: 100_000 }), cpu_us: fc.constant(1), reason }),
  ),
  report(
    'FinishExec',
    fc.record({ exec_id: fc.constant('e1') }).map((one) => ({
      ...one,
      end: 'exited',
      exit_code: 0,
      signal: null,
      stdout_bytes: 0,
      stderr_bytes: 0,
    })),
  ),
  fc
    .record({ sandbox, at: moment })
    .map((one) => by('platform', `sandbox:${one.sandbox}`, 'ReportLost', { incarnation: 1, seen_at_us: one.at })),
];

const used = (type: string, body: fc.Arbitrary<JsonObject>): fc.Arbitrary<LawCommand> =>
  fc.record({ who, sandbox, body }).map((one) => by(one.who, `sandbox:${one.sandbox}`, type, one.body));
const ofOwners: fc.Arbitrary<LawCommand>[] = [
  used('StopSandbox', fc.constant({})),
  used('TouchSandbox', fc.record({ reason: fc.constant('x'), for_ms: fc.option(fc.integer({ min: 1, max: 60_000 })) })),
  used('ExtendSandbox', fc.record({ job, add_spend_micros: spend, add_ttl_ms: ttl })),
  used(
    'StartExec',
    fc
      .record({ exec_id: fc.constant('e1') })
      .map((one) => ({ ...one, argv_sha256: '', program: 'x', timeout_ms: null })),
  ),
  used('RecordUpload', fc.constant({ path: 'a', bytes: 1, sha256: '', unpack: false })),
  used('RecordActivity', fc.constant({ cause: 'list' })),
  used('SendSecrets', fc.constant({ sealing_key: 'k', secrets: [{ name: 'TOKEN', commitment: 'c' }] })),
  used(
    'ExposePort',
    fc.record({
      port: fc.integer({ min: 1, max: 3 }),
      visibility: fc.constantFrom('private', 'link'),
      ttl_ms: fc.option(fc.integer({ min: 1, max: 60_000 })),
    }),
  ),
  used('ClosePort', fc.record({ port: fc.integer({ min: 1, max: 3 }) })),
  used(
    'SetEgress',
    fc.record({
      mode: fc.constantFrom('none', 'allowlist', 'open'),
      allow: fc.subarray(['a.test', '*.b.test:80', '10.0.0.0/8:*', 'no rule']),
      egress_offered: fc.constant(['none', 'allowlist']),
    }),
  ),
];

const commands = fc.oneof(
  { weight: 4, arbitrary: opening },
  { weight: 4, arbitrary: fc.oneof(...ofJobs) },
  { weight: 6, arbitrary: fc.oneof(...ofProviders) },
  { weight: 3, arbitrary: fc.oneof(...ofOwners) },
);

/** Steps stay in escrow until their loss would have been noticed; two more are the one in progress and the one ahead. */
const openStepsMax = (quantumMs: number): number => Math.ceil((lostAfterMs(quantumMs) + 50_000) / quantumMs) + 2;

const on = (world: World, account: string): bigint => world.availableMicros(account) ?? 0n;
const jobsOf = (world: World): JobState[] =>
  JOBS.map((id) => world.state(`job:${id}`) as JobState).filter(({ id }) => id);
const sandboxesOf = (world: World): SandboxState[] =>
  SANDBOXES.map((id) => world.state(`sandbox:${id}`) as SandboxState).filter(({ id }) => id);

/** Money: what was deposited is on the account, in escrow or earned; no job spent more than it may. */
function checkMoney(world: World): void {
  const all = sandboxesOf(world);
  const escrow = all.reduce((sum, { id }) => sum + on(world, `escrow:${id}`), 0n);
  const deposited = BigInt((world.state(`account:${OWNER}`) as AccountState).deposited_micros);
  assert.equal(on(world, userAccount(OWNER)) + escrow + on(world, `provider:${PROVIDER}`), deposited);
  for (const state of jobsOf(world)) {
    const own = all.filter(({ job }) => job === state.id);
    const spent = own.reduce((sum, one) => sum + BigInt(one.charged_micros) - BigInt(one.refunded_micros), 0n);
    assert.equal(BigInt(state.max_total_spend_micros) - on(world, `job-cap:${state.id}`), spent);
    assert.ok(spent <= BigInt(state.max_total_spend_micros));
    const running = own.filter(({ status }) => status !== 'ended').length;
    assert.equal(state.sandboxes_max - Number(on(world, `job-slot:${state.id}`)), running);
    assert.deepEqual(
      state.sandboxes.map(({ id }) => id).sort(),
      own.filter(({ status }) => status !== 'ended').map(({ id }) => id),
    );
  }
}

/** Time: what ran was paid; what ended is parted whole, for one reason. */
function checkSandbox(world: World, state: SandboxState): void {
  const [charged, refunded, settled] = [state.charged_micros, state.refunded_micros, state.settled_micros].map(BigInt);
  assert.ok(refunded! <= charged!);
  assert.equal(on(world, `escrow:${state.id}`), charged! - refunded! - settled!);
  assert.equal(state.status === 'stopping' || state.status === 'ended', state.stop_reason !== '');
  assert.ok(state.open_steps.length <= openStepsMax(state.quantum_ms));
  assert.ok(BigInt(state.max_spend_micros) >= charged! - refunded!);
  if (state.status !== 'ended') return;
  assert.equal(on(world, `escrow:${state.id}`), 0n);
  assert.deepEqual(
    [...world.timers.keys()].filter((timer) => timer.endsWith(`:${state.id}`)),
    [],
  );
  if (state.started_at_us === null) assert.equal(refunded, charged);
}

function invariant(world: World): void {
  checkMoney(world);
  for (const state of sandboxesOf(world)) checkSandbox(world, state);
}

test('[I-01] [I-06] [I-09] [I-10] [I-12] [I-21] [I-22] the laws hold for jobs and sandboxes', () => {
  deciderLaws({ rules: RULES, commands, setup: SETUP, invariant, runs: 80, stepUsMax: 45_000_000n });
});

test('[I-01] [I-06] [I-09] [I-10] [I-12] [I-21] [I-22] the laws hold around a running machine', () => {
  const near = fc.oneof(
    { weight: 6, arbitrary: fc.oneof(...ofProviders) },
    { weight: 3, arbitrary: fc.oneof(...ofOwners) },
    { weight: 2, arbitrary: fc.oneof(...ofJobs) },
  );
  const setup = [...SETUP, ...RUNNING];
  deciderLaws({ rules: RULES, commands: near, setup, invariant, runs: 120, stepUsMax: 15_000_000n });
});

/** A machine that keeps its tickets to the microsecond: it runs while paid, freezes at the end, thaws, is finished. */
interface Machine {
  isRunning: boolean;
  sinceUs: bigint;
  deadlineUs: bigint;
  finishUs: bigint | undefined;
  ranUs: bigint;
  heard: number;
}

function hear(b: Bench, machine: Machine): void {
  for (; machine.heard < b.world.outbox.length; machine.heard++) {
    const { topic, body } = b.world.outbox[machine.heard]!;
    if (topic === 'finish-sandbox') {
      machine.finishUs = BigInt((body['at_us'] as string | null) ?? b.nowUs);
      continue;
    }
    if (topic === 'set-egress') continue;
    const ticket = body['ticket'] as { paid_until_us: string; duration_ms: number };
    const isFirst = topic === 'create-sandbox';
    machine.deadlineUs = isFirst ? b.nowUs + BigInt(ticket.duration_ms) * 1_000n : BigInt(ticket.paid_until_us);
    if (isFirst) assert.equal(b.started().rejection, undefined);
    else if (!machine.isRunning) b.report('ReportThawed', { at_us: String(b.nowUs) });
    if (!machine.isRunning) machine.sinceUs = b.nowUs;
    machine.isRunning = true;
  }
}

/** Lets the machine come to this moment; true once it has ended. */
function live(b: Bench, machine: Machine): boolean {
  const stopUs =
    machine.finishUs !== undefined && machine.finishUs < machine.deadlineUs ? machine.finishUs : machine.deadlineUs;
  if (machine.isRunning && stopUs <= b.nowUs) {
    machine.ranUs += stopUs - machine.sinceUs;
    machine.isRunning = false;
    b.report('ReportFrozen', { at_us: String(stopUs) });
  }
  const isOver = machine.finishUs !== undefined && machine.finishUs <= b.nowUs && !machine.isRunning;
  if (isOver) b.ended('lease_ended', Number(machine.ranUs / 1_000n));
  return isOver;
}

/** Wakes at every alarm, at the machine's own deadline and at the end of the pause. */
function passPunctually(b: Bench, machine: Machine, untilUs: bigint): boolean {
  hear(b, machine);
  for (;;) {
    if (live(b, machine)) return true;
    const wakes = [b.world.nextDueUs(), machine.isRunning ? machine.deadlineUs : undefined, machine.finishUs, untilUs];
    const nextUs = wakes
      .filter((us): us is bigint => us !== undefined && us > b.nowUs)
      .reduce((x, y) => (x < y ? x : y), untilUs);
    b.nowUs = nextUs;
    const isOver = live(b, machine);
    if (isOver) return true;
    b.world.fireDue(b.nowUs);
    hear(b, machine);
    if (nextUs >= untilUs) return live(b, machine);
  }
}

test('[I-01] what is kept of the price covers every moment a punctual machine ran, whatever its owner does', () => {
  const choice = fc.record({ passMs: fc.integer({ min: 1, max: 50_000 }), act: fc.oneof(...ofOwners, ...ofJobs) });
  const life = fc.record({ quantum, ttl, idle, jobIdle: idle, history: fc.array(choice, { maxLength: 20 }) });
  const property = fc.property(
    life,
    ({ quantum: quantumMs, ttl: ttlMs, idle: idleMs, jobIdle: jobIdleMs, history }) => {
      const b = funded('2000');
      b.openJob({ idle_timeout_ms: jobIdleMs });
      b.openSandbox({ quantum_ms: quantumMs, ttl_ms: ttlMs, idle_timeout_ms: idleMs, grace_ms: 5_000 });
      const machine: Machine = {
        isRunning: false,
        sinceUs: 0n,
        deadlineUs: 0n,
        finishUs: undefined,
        ranUs: 0n,
        heard: 0,
      };
      let isOver = false;
      for (const { passMs, act } of [...history, { passMs: 400_000, act: by(OWNER, 'job:job_1', 'StopJob') }]) {
        isOver ||= passPunctually(b, machine, b.nowUs + BigInt(passMs) * 1_000n);
        if (!isOver) b.ask(act.principal ?? OWNER, act.stream, act.type, act.body);
      }
      isOver ||= passPunctually(b, machine, b.nowUs + 1_000n);
      const state = b.sandbox();
      assert.equal(state.status, 'ended');
      const kept = BigInt(state.charged_micros) - BigInt(state.refunded_micros);
      const paidUs = (kept * BigInt(state.quantum_ms) * 1_000n) / BigInt(state.price_micros_per_quantum);
      assert.ok(paidUs >= machine.ranUs, `paid ${paidUs}, ran ${machine.ranUs}`);
    },
  );
  fc.assert(property, { numRuns: 150 });
});
