// Lives of jobs and sandboxes: what is sold, what stops them, what goes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FundingState, fundingStream, WAITING_MAX } from '@tallystick/hosting';
import type { JsonObject } from '@tallystick/kernel';
import { type Bench, funded, JOB, OWNER, SANDBOX, START_US } from './testing.ts';

const money = (b: Bench, id = SANDBOX) => ({
  user: b.on(`user:${OWNER}`),
  escrow: b.on(`escrow:${id}`),
  provider: b.on('provider:local'),
  job: b.on(`job-cap:${JOB}`),
});
const seconds = (us: string | null): number => Number((BigInt(us ?? '0') - START_US) / 1_000n) / 1_000;
const topics = (b: Bench): string[] => b.world.outbox.map(({ topic }) => topic);
const last = (b: Bench): JsonObject => b.world.outbox.at(-1)!.body;
const story = (b: Bench) => {
  const { status, stop_reason, minutes_sold } = b.sandbox();
  return [status, stop_reason, minutes_sold];
};

function running(deposit: string, jobBody: JsonObject = {}, body: JsonObject = {}): Bench {
  const b = funded(deposit);
  b.openJob(jobBody);
  assert.equal(b.openSandbox(body).rejection, undefined);
  b.pass(100);
  assert.equal(b.started().rejection, undefined);
  return b;
}

test('[I-02] the first step is paid by the decision that asks for the machine', () => {
  const b = funded('1000');
  b.openJob();
  b.openSandbox();
  assert.deepEqual(money(b), { user: 640n, escrow: 360n, provider: 0n, job: 999_640n });
  assert.deepEqual([b.on(`job-slot:${JOB}`), b.on(`sandbox-cap:${SANDBOX}`)], [19n, 999_640n]);
  const { topic, body } = b.world.outbox[0]!;
  const ticket = body['ticket'] as JsonObject;
  assert.deepEqual(
    [topic, ticket['seq'], ticket['duration_ms'], ticket['price_micros']],
    ['create-sandbox', 1, 60_000, '360'],
  );
  assert.equal(seconds(ticket['paid_until_us'] as string), 90, 'the bound leaves time to start');
  b.pass(2_000);
  b.started();
  assert.equal(seconds(b.sandbox().paid_until_us), 62, 'the step counts from ready');
});

test("a provider's clock never makes paid time longer", () => {
  for (const [reportedMs, paidUntil] of [
    [-5_000, 60],
    [500, 60.5],
    [99_000, 61],
  ] as const) {
    const b = funded('1000');
    b.openJob();
    b.openSandbox();
    b.pass(1_000);
    b.report('ReportStarted', { started_at_us: String(START_US + BigInt(reportedMs) * 1_000n), isolation: 'ns' });
    assert.equal(seconds(b.sandbox().paid_until_us), paidUntil);
  }
});

test('[I-01] steps are sold ahead, without a gap, and settled once their loss would have been noticed', () => {
  const b = running('4000');
  b.pass(40_000);
  assert.deepEqual(story(b), ['running', '', 2]);
  assert.deepEqual(money(b), { user: 3280n, escrow: 720n, provider: 0n, job: 999_280n });
  b.pass(60_000);
  assert.deepEqual(money(b), { user: 2920n, escrow: 1080n, provider: 0n, job: 998_920n });
  assert.equal(seconds(b.sandbox().paid_until_us), 180.1);
  assert.deepEqual(topics(b), ['create-sandbox', 'renew-lease', 'renew-lease']);
  b.pass(200_000);
  assert.deepEqual(money(b), { user: 1840n, escrow: 1800n, provider: 360n, job: 997_840n });
});

test('[I-06] stopping early gives whole seconds back, to the account and to both caps', () => {
  const b = running('1000');
  b.pass(10_500);
  assert.equal(b.use('StopSandbox').rejection, undefined);
  assert.deepEqual(
    [topics(b).at(-1), last(b)['reason'], last(b)['at_us']],
    ['finish-sandbox', 'stopped_by_owner', null],
  );
  b.pass(200);
  b.ended('stopped_by_owner', 10_700);
  assert.deepEqual(money(b), { user: 934n, escrow: 0n, provider: 66n, job: 999_934n });
  const s = b.sandbox();
  assert.deepEqual(
    [s.status, s.stop_reason, s.refunded_micros, s.ran_ms],
    ['ended', 'stopped_by_owner', '294', 10_700],
  );
  assert.equal(seconds(s.stopped_at_us), 10.8);
  assert.deepEqual([b.on(`job-slot:${JOB}`), b.on(`sandbox-cap:${SANDBOX}`)], [20n, 999_934n]);
  assert.deepEqual(b.job().sandboxes, []);
  assert.deepEqual([...b.world.timers.keys()], [`job-ttl:${JOB}`]);
});

test('[I-05] a job at its cap stops at the end of what was paid, and all of it stops', () => {
  const b = running('5000', { max_total_spend_micros: '1100' });
  b.openSandbox({}, 'sbx_2');
  b.started('sbx_2');
  b.pass(60_000);
  assert.deepEqual([story(b), b.sandbox('sbx_2').stop_reason], [['stopping', 'job_cap', 2], 'job_cap']);
  assert.deepEqual([b.job().status, b.job().stop_reason], ['stopped_due_to_budget', 'job_cap']);
  b.ended('job_cap', 60_000);
  b.ended('job_cap', 60_000, 'sbx_2');
  assert.deepEqual([b.sandbox().stop_reason, b.sandbox('sbx_2').stop_reason], ['job_cap', 'job_cap']);
  assert.deepEqual([b.on(`escrow:${SANDBOX}`), b.on('escrow:sbx_2')], [0n, 0n]);
});

test('a sandbox alone at the end of its job runs to the moment it is paid for', () => {
  const b = running('5000', { max_total_spend_micros: '400' });
  b.pass(59_000);
  assert.deepEqual(story(b), ['stopping', 'job_cap', 1]);
  assert.equal(seconds(b.sandbox().ends_at_us), 60.1);
  assert.equal(last(b)['at_us'], b.sandbox().paid_until_us);
  b.pass(2_000);
  b.ended('job_cap', 60_000);
  assert.deepEqual([seconds(b.sandbox().stopped_at_us), b.sandbox().refunded_micros], [60.1, '0']);
});

test('[I-05] its own cap ends a sandbox and leaves its job alone', () => {
  const b = running('5000', {}, { max_spend_micros: '800' });
  b.pass(120_000);
  assert.deepEqual(story(b), ['stopping', 'sandbox_cap', 2]);
  assert.equal(b.job().status, 'active');
});

test('more for the job lets a sandbox without a cap of its own go on; its own cap can be raised as well', () => {
  const b = running('5000', { max_total_spend_micros: '800' });
  b.ask(OWNER, `job:${JOB}`, 'ExtendJob', { add_spend_micros: '500', add_ttl_ms: null });
  b.pass(120_000);
  assert.deepEqual(story(b), ['running', '', 3]);
  assert.equal(b.sandbox().max_spend_micros, '1080');
  const own = running('5000', {}, { max_spend_micros: '400' });
  own.use('ExtendSandbox', { job: JOB, add_spend_micros: '500', add_ttl_ms: null });
  own.pass(120_000);
  assert.deepEqual(story(own), ['stopping', 'sandbox_cap', 2]);
});

test('[I-05] a job and a sandbox end when their time to live is over, with a refund by the second', () => {
  const jobTtl = running('5000', { ttl_ms: 70_000 });
  jobTtl.pass(69_900);
  assert.deepEqual(story(jobTtl), ['stopping', 'job_ttl', 2]);
  assert.equal(jobTtl.job().status, 'expired');
  jobTtl.ended('job_ttl', 69_900);
  assert.deepEqual([jobTtl.sandbox().stop_reason, jobTtl.sandbox().refunded_micros], ['job_ttl', '300']);
  const own = running('5000', {}, { ttl_ms: 70_000 });
  own.pass(69_900);
  assert.deepEqual([story(own), own.job().status], [['stopping', 'sandbox_ttl', 2], 'active']);
  const between = running('5000', {}, { ttl_ms: 60_000 });
  between.pass(45_000);
  assert.deepEqual(story(between), ['stopping', 'sandbox_ttl', 1]);
  assert.equal(seconds(between.sandbox().ends_at_us), 60, 'no later than its life');
});

test('a longer life moves the alarm', () => {
  const b = running('5000', { ttl_ms: 70_000 }, { ttl_ms: 65_000 });
  b.ask(OWNER, `job:${JOB}`, 'ExtendJob', { add_spend_micros: null, add_ttl_ms: 30_000 });
  b.use('ExtendSandbox', { job: JOB, add_spend_micros: null, add_ttl_ms: 99_000 });
  const clamp = b.sandbox().clamps.find(({ field }) => field === 'ttl_ms');
  assert.deepEqual(clamp, { field: 'ttl_ms', requested: 164_000, effective: 100_000, rule: 'job_remaining' });
  b.pass(80_000);
  assert.deepEqual(story(b), ['running', '', 2]);
  b.pass(20_000);
  assert.equal(b.job().status, 'expired');
});

test('[I-05] nobody pays for an idle machine, and a command in flight is never idle', () => {
  const b = running('5000', {}, { idle_timeout_ms: 30_000 });
  b.use('StartExec', { exec_id: 'exec_1', argv_sha256: '00', program: 'sleep', timeout_ms: null });
  b.pass(100_000);
  assert.deepEqual(story(b), ['running', '', 3]);
  b.report('FinishExec', {
    exec_id: 'exec_1',
    end: 'exited',
    exit_code: 0,
    signal: null,
    stdout_bytes: 1,
    stderr_bytes: 0,
  });
  b.use('TouchSandbox', { reason: 'thinking', for_ms: 60_000 });
  b.pass(60_000);
  assert.deepEqual(story(b), ['running', '', 4]);
  b.pass(60_000);
  assert.deepEqual(story(b), ['stopping', 'idle', 4]);
});

test('[I-05] a command that its machine refused to start is over by the word of the platform', () => {
  const b = running('5000', {}, { idle_timeout_ms: 30_000 });
  b.use('StartExec', { exec_id: 'exec_1', argv_sha256: '00', program: 'x', timeout_ms: null });
  const over = { exec_id: 'exec_1', end: 'not_started', exit_code: null, signal: '', stdout_bytes: 0, stderr_bytes: 0 };
  assert.equal(b.ask('platform', 'sandbox:sbx_1', 'FinishExec', over).rejection, undefined);
  assert.deepEqual(b.sandbox().execs, []);
  b.pass(60_000);
  assert.deepEqual(story(b).slice(0, 2), ['stopping', 'idle']);
});

test('[I-05] an idle job stops with everything in it; work in its sandboxes keeps it', () => {
  const b = running('5000', { idle_timeout_ms: 50_000 });
  b.use('StartExec', { exec_id: 'exec_1', argv_sha256: '00', program: 'sleep', timeout_ms: null });
  b.pass(90_000);
  assert.equal(b.job().status, 'active');
  b.report('FinishExec', {
    exec_id: 'exec_1',
    end: 'killed',
    exit_code: null,
    signal: 'SIGKILL',
    stdout_bytes: 0,
    stderr_bytes: 0,
  });
  b.pass(40_000);
  b.use('RecordActivity', { cause: 'list' });
  b.pass(49_000);
  assert.equal(b.job().status, 'active');
  b.pass(2_000);
  assert.deepEqual([b.job().status, b.sandbox().stop_reason], ['stopped_due_to_idle', 'idle']);
});

test('[I-05] without money it waits, freezes, thaws when money comes, and ends when none does', () => {
  const b = running('400', {}, { grace_ms: 10_000 });
  b.pass(50_000);
  assert.deepEqual([story(b), b.sandbox().is_unfunded], [['running', '', 1], true]);
  b.pass(12_000);
  b.report('ReportFrozen', { at_us: b.sandbox().paid_until_us });
  assert.equal(b.sandbox().status, 'frozen');
  const more = { deposit_id: 'dep_2', amount_micros: '600', source: 'development', reference: '' };
  b.ask('platform', `account:${OWNER}`, 'CreditDeposit', more);
  assert.deepEqual([story(b), b.sandbox().is_unfunded], [['frozen', '', 2], false], 'money is heard of at once');
  assert.ok(seconds(b.sandbox().open_steps.at(-1)!.starts_at_us) > 62, 'the gap is not sold');
  b.report('ReportThawed', { at_us: String(b.nowUs) });
  assert.deepEqual([story(b), b.sandbox().frozen_at_us], [['running', '', 2], null]);
  b.pass(60_000);
  b.pass(4_000);
  b.report('ReportFrozen', { at_us: b.sandbox().paid_until_us });
  b.pass(10_000);
  assert.deepEqual(story(b), ['stopping', 'insufficient_funds', 2]);
  b.ended('lease_ended', 120_000);
  assert.deepEqual([b.sandbox().stop_reason, b.sandbox().refunded_micros], ['insufficient_funds', '0']);
  assert.deepEqual(money(b), { user: 280n, escrow: 0n, provider: 720n, job: 999_280n });
});

test('whoever is still short when money comes is told of the next money, too', () => {
  const b = running('400', {}, { grace_ms: 60_000 });
  b.pass(62_000);
  b.report('ReportFrozen', { at_us: b.sandbox().paid_until_us });
  const credit = (id: string, amount: string) =>
    b.ask('platform', `account:${OWNER}`, 'CreditDeposit', {
      deposit_id: id,
      amount_micros: amount,
      source: 'development',
      reference: '',
    });
  credit('dep_2', '100');
  const waiting = () => (b.world.state(fundingStream(OWNER)) as FundingState).waiting.map(({ sandbox }) => sandbox);
  assert.deepEqual([story(b), waiting()], [['frozen', '', 1], [SANDBOX]]);
  credit('dep_3', '500');
  assert.deepEqual([story(b), waiting()], [['frozen', '', 2], []]);
});

test('nobody but the platform’s own reactions keeps the list of who waits', () => {
  const b = funded('1');
  for (const principal of [OWNER, 'platform', 'timer'])
    assert.equal(b.ask(principal, fundingStream(OWNER), 'TellFunds').rejection, 'NOT_FOUND');
  const wait = (n: number) =>
    b.ask('reaction', fundingStream(OWNER), 'AwaitFunds', { sandbox: `sbx_${n}`, job: JOB, provider: 'local' });
  assert.equal(wait(0).rejection, undefined);
  assert.equal(wait(0).rejection, 'NOTHING_TO_CHANGE');
  for (let n = 1; n < WAITING_MAX; n++) assert.equal(wait(n).rejection, undefined);
  assert.equal(wait(WAITING_MAX).rejection, 'NOTHING_TO_CHANGE');
});

test('the machine may say that its lease ended before anybody decided it', () => {
  const broke = running('400', {}, { grace_ms: 1_000 });
  broke.pass(60_500);
  broke.ended('lease_ended', 60_000);
  assert.equal(broke.sandbox().stop_reason, 'insufficient_funds');
  const rich = running('4000');
  rich.pass(10_000);
  rich.ended('lease_ended', 10_000);
  assert.deepEqual([rich.sandbox().stop_reason, rich.sandbox().refunded_micros], ['provider_lost', '300']);
  const hungry = running('4000');
  hungry.ended('oom', 0);
  assert.equal(hungry.sandbox().stop_reason, 'oom');
});

test('[I-06] a start that fails is given back whole', () => {
  const b = funded('1000');
  b.openJob();
  b.openSandbox();
  b.report('ReportStartFailed', { cause: 'no disk' });
  assert.deepEqual(story(b), ['ended', 'start_failed', 1]);
  assert.deepEqual(money(b), { user: 1000n, escrow: 0n, provider: 0n, job: 1_000_000n });
});

test('[I-06] a start that nobody hears of waits for the provider, then is given back whole', () => {
  const b = funded('1000');
  b.openJob();
  b.openSandbox();
  b.pass(30_000);
  assert.deepEqual(story(b), ['stopping', 'start_failed', 1]);
  assert.equal(money(b).escrow, 360n, 'it may still run on its ticket');
  b.pass(240_000);
  assert.deepEqual([story(b), money(b).user], [['ended', 'start_failed', 1], 1000n]);
  const late = funded('1000');
  late.openJob();
  late.openSandbox();
  late.pass(35_000);
  late.ended('start_failed', 20_500);
  assert.deepEqual([late.sandbox().stop_reason, late.sandbox().refunded_micros], ['start_failed', '234']);
});

test('[I-06] a lost machine is refunded from when it was last seen, and a silent one from its end', () => {
  const lost = running('1000');
  lost.pass(30_000);
  const body = { incarnation: 1, seen_at_us: String(START_US + 20_100_000n) };
  lost.ask('platform', `sandbox:${SANDBOX}`, 'ReportLost', body);
  assert.deepEqual([lost.sandbox().stop_reason, lost.sandbox().refunded_micros], ['provider_lost', '240']);
  const silent = running('1000');
  silent.pass(10_000);
  silent.use('StopSandbox');
  silent.pass(300_000);
  assert.deepEqual([story(silent), silent.sandbox().refunded_micros], [['ended', 'provider_lost', 1], '300']);
});

test('[I-05] a machine that is weaker than what was sold is stopped', () => {
  const b = funded('1000');
  b.openJob();
  b.openSandbox();
  b.report('ReportStarted', { started_at_us: String(b.nowUs), isolation: 'mock' });
  assert.deepEqual(story(b), ['stopping', 'policy', 1]);
});

test('stopping a job stops its sandboxes, also one that opens at the same moment', () => {
  const b = running('1000');
  b.ask(OWNER, `job:${JOB}`, 'StopJob');
  assert.deepEqual(story(b), ['stopping', 'stopped_by_owner', 1]);
  const attach = { sandbox: 'sbx_9' };
  b.ask('reaction', `job:${JOB}`, 'AttachSandbox', attach);
  const asked = b.world.receipts.at(-1)!;
  assert.deepEqual([asked.command.type, asked.stream], ['StopSandbox', 'sandbox:sbx_9']);
});

test('an owner may end early what would end by itself', () => {
  const b = running('5000', { max_total_spend_micros: '400' });
  b.pass(45_000);
  assert.deepEqual(story(b), ['stopping', 'job_cap', 1]);
  assert.equal(b.use('StopSandbox').rejection, undefined);
  assert.deepEqual([b.sandbox().stop_reason, seconds(b.sandbox().ends_at_us)], ['job_cap', 45.1]);
});

test('[I-07] every limit asked for is answered with what applies and which rule made it smaller', () => {
  const b = funded('5000');
  b.openJob({ max_total_spend_micros: '9000000000', ttl_ms: 600_000, sandboxes_max: 99 });
  assert.deepEqual(b.job().clamps, [
    { field: 'max_total_spend_micros', requested: '9000000000', effective: '1000000000', rule: 'user_policy' },
    { field: 'ttl_ms', requested: 600_000, effective: 600_000, rule: '' },
    { field: 'sandboxes_max', requested: 99, effective: 20, rule: 'user_policy' },
  ]);
  b.openSandbox({ cpu_millis: 9_000, ttl_ms: 900_000, max_spend_micros: '2000000000', quantum_ms: 2_000 });
  assert.deepEqual(b.sandbox().clamps, [
    { field: 'cpu_millis', requested: 9_000, effective: 4_000, rule: 'user_policy' },
    { field: 'ram_mib', requested: 1_024, effective: 1_024, rule: '' },
    { field: 'disk_mib', requested: 4_096, effective: 4_096, rule: '' },
    { field: 'ttl_ms', requested: 900_000, effective: 600_000, rule: 'job_remaining' },
    { field: 'quantum_ms', requested: 2_000, effective: 2_000, rule: '' },
    { field: 'max_spend_micros', requested: '2000000000', effective: '1000000000', rule: 'user_policy' },
  ]);
});

test('no more than so many commands run at once', () => {
  const b = running('1000');
  const exec = (n: number) => b.use('StartExec', { exec_id: `e${n}`, argv_sha256: '', program: 'x', timeout_ms: null });
  for (let n = 0; n < 256; n++) assert.equal(exec(n).rejection, undefined);
  assert.deepEqual(exec(256).facts, { cap: 'execs_in_flight_max', asked: 257, available: 256 });
});

test('a sale that comes too early waits for its time, and one after the grace time is none', () => {
  const b = running('4000');
  const sale = { job: JOB, payer: OWNER };
  assert.equal(b.ask('timer', `sandbox:${SANDBOX}`, 'SellMinute', sale).rejection, undefined);
  assert.equal(b.sandbox().minutes_sold, 1);
  b.nowUs += 200_000_000n;
  b.world.fireDue(b.nowUs);
  assert.deepEqual(story(b), ['stopping', 'provider_lost', 1]);
});

test('one micro short of a step is short, and not a micro more is needed', () => {
  const short = running('719');
  short.pass(50_000);
  assert.deepEqual([short.sandbox().minutes_sold, short.sandbox().is_unfunded], [1, true]);
  const exact = running('720');
  exact.pass(50_000);
  assert.deepEqual([exact.sandbox().minutes_sold, exact.on(`user:${OWNER}`)], [2, 0n]);
});

test('a moment that a provider reports lies between the start and now', () => {
  const future = running('1000');
  future.pass(10_000);
  const report = { ran_ms: 10_000, cpu_us: '7', reason: 'sandbox_lost' };
  future.report('ReportEnded', { ...report, at_us: String(future.nowUs + 30_000_000n) });
  assert.deepEqual([seconds(future.sandbox().stopped_at_us), future.sandbox().cpu_us], [10.1, '7']);
  const past = running('1000');
  past.pass(10_000);
  past.report('ReportEnded', { ...report, at_us: '0' });
  assert.deepEqual([seconds(past.sandbox().stopped_at_us), past.sandbox().refunded_micros], [0.1, '300']);
});

test('an alarm that comes too early changes nothing and is set anew', () => {
  const b = running('1000', { ttl_ms: 70_000, idle_timeout_ms: 65_000 }, { ttl_ms: 66_000 });
  const before = [...b.world.timers.values()].map(({ timer, dueUs }) => [timer, dueUs]).sort();
  for (const type of ['ExpireJob', 'CheckJobIdle']) b.ask('timer', `job:${JOB}`, type);
  b.ask('timer', `sandbox:${SANDBOX}`, 'StopAtTtl');
  assert.deepEqual([...b.world.timers.values()].map(({ timer, dueUs }) => [timer, dueUs]).sort(), before);
  assert.deepEqual([b.job().status, b.sandbox().status], ['active', 'running']);
});

test('the next step is sold at once when the start was heard of late', () => {
  const b = funded('1000');
  b.openJob();
  b.openSandbox({ quantum_ms: 1_000 });
  b.pass(5_000);
  b.report('ReportStarted', { started_at_us: String(START_US), isolation: 'ns' });
  const lease = b.world.timers.get(`lease:${SANDBOX}`)!;
  assert.equal(lease.dueUs, b.nowUs + 1n);
  b.pass(1);
  assert.deepEqual([seconds(b.sandbox().open_steps.at(-1)!.starts_at_us), b.sandbox().minutes_sold], [5, 2]);
});

test('[I-01] an end is not assumed while a ticket can still run', () => {
  const b = funded('1000');
  b.openJob();
  b.openSandbox({ grace_ms: 0 });
  b.use('StopSandbox');
  b.pass(149_999);
  assert.deepEqual(story(b), ['stopping', 'stopped_by_owner', 1]);
  b.pass(1);
  assert.deepEqual(story(b), ['ended', 'provider_lost', 1]);
});
