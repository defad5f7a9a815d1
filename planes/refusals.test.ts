// Hosting: one row per command and refusal. The order of checks is the order of the rows within a command.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@tallystick/kernel';
import { type Bench, funded, JOB, OWNER, SANDBOX, SANDBOX_BODY, STRANGER } from './testing.ts';

type Scene = (bench: Bench) => void;
type Act = (bench: Bench) => { rejection?: string; facts?: JsonObject };

const AT = `sandbox:${SANDBOX}`;
const job: Scene = (b) => void b.openJob();
const starting: Scene = (b) => {
  b.openJob();
  b.openSandbox();
};
const running: Scene = (b) => {
  starting(b);
  b.started();
};
const busy: Scene = (b) => {
  running(b);
  b.use('StartExec', EXEC);
};
const stoppingNow: Scene = (b) => {
  running(b);
  b.use('StopSandbox');
};
const ended: Scene = (b) => {
  stoppingNow(b);
  b.ended('stopped_by_owner', 0);
};
/** Its one step is over, and the account covers no other. */
const unpaid: Scene = (b) => {
  b.openJob();
  b.openSandbox({ quantum_ms: 60_000, cpu_millis: 2_000, ram_mib: 8_192, disk_mib: 0 });
  b.started();
  b.pass(60_000);
};
const frozen: Scene = (b) => {
  unpaid(b);
  b.report('ReportFrozen', { at_us: b.sandbox().paid_until_us });
};
const UNFUNDED = { sandbox: SANDBOX, ends_at: '2026-01-01T00:03:00.000Z', required_micros: '1600' };
const stoppedJob: Scene = (b) => {
  job(b);
  b.ask(OWNER, `job:${JOB}`, 'StopJob');
};

const open =
  (body: JsonObject = {}): Act =>
  (b) =>
    b.openSandbox(body);
const askJob =
  (type: string, body: JsonObject = {}, who = OWNER): Act =>
  (b) =>
    b.ask(who, `job:${JOB}`, type, body);
const use =
  (type: string, body: JsonObject = {}, who = OWNER): Act =>
  (b) =>
    b.ask(who, AT, type, body);

const EXEC = { exec_id: 'exec_1', argv_sha256: '00', program: 'ls', timeout_ms: null };
const FINISH = { exec_id: 'exec_1', end: 'exited', exit_code: 0, signal: null, stdout_bytes: 0, stderr_bytes: 0 };
const SECRETS = {
  incarnation: 1,
  sealing_key: 'k',
  secrets: [{ name: 'TOKEN', commitment: 'c' }],
};
const UPLOAD = { path: 'a', bytes: 1, sha256: '00', unpack: false };
const EXTEND = { add_spend_micros: '1', add_ttl_ms: null, job: JOB };
const STARTED = { incarnation: 1, started_at_us: '0', isolation: 'ns' };
const ENDED = { incarnation: 1, at_us: '0', ran_ms: 0, cpu_us: 0, reason: 'stopped' };
const SALE = { job: JOB, payer: OWNER };
const NOT_RUNNING = { status: 'stopping', stop_reason: 'stopped_by_owner' };
const STOPPED_JOB = { status: 'stopped', reason: 'stopped_by_owner' };

const touchJob = (b: Bench, at_pos: number, is_busy: boolean) =>
  b.ask('reaction', `job:${JOB}`, 'TouchJob', {
    sandbox: SANDBOX,
    at_pos,
    cause: 'exec',
    is_busy,
    active_until_us: '0',
  });

const ROWS: [string, Scene | undefined, Act, string, JsonObject?][] = [
  [
    'OpenJob: nothing to spend',
    undefined,
    (b) => b.openJob({ max_total_spend_micros: '0' }),
    'AMOUNT_NOT_POSITIVE',
    { amount_micros: '0' },
  ],
  ['OpenJob: there already', job, (b) => b.openJob(), 'ALREADY_EXISTS', { id: JOB }],
  ["OpenJob: somebody else's id", job, askJob('OpenJob', {}, STRANGER), 'NOT_FOUND'],
  ['ExtendJob: no job', undefined, askJob('ExtendJob', EXTEND), 'NOT_FOUND'],
  ['ExtendJob: a stranger', job, askJob('ExtendJob', EXTEND, STRANGER), 'NOT_FOUND'],
  ['ExtendJob: stopped', stoppedJob, askJob('ExtendJob', EXTEND), 'JOB_NOT_ACTIVE', STOPPED_JOB],
  [
    'ExtendJob: nothing asked',
    job,
    askJob('ExtendJob', { add_spend_micros: null, add_ttl_ms: null }),
    'NOTHING_TO_CHANGE',
  ],
  [
    'ExtendJob: the policy is used up',
    (b) => b.openJob({ max_total_spend_micros: '9000000000' }),
    askJob('ExtendJob', { add_spend_micros: '5', add_ttl_ms: null }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'spend_micros_per_job_max', asked: '5', available: '0', tier: 'standard' },
  ],
  [
    'ExtendJob: the longest life',
    (b) => b.openJob({ ttl_ms: 31_536_000_000 }),
    askJob('ExtendJob', { add_spend_micros: null, add_ttl_ms: 7 }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'ttl_ms_max', asked: 7, available: 0, tier: 'standard' },
  ],
  ['StopJob: no job', undefined, askJob('StopJob'), 'NOT_FOUND'],
  ['StopJob: a stranger', job, askJob('StopJob', {}, STRANGER), 'NOT_FOUND'],
  ['StopJob: stopped', stoppedJob, askJob('StopJob'), 'JOB_NOT_ACTIVE', STOPPED_JOB],
  ['ExpireJob: not a timer', job, askJob('ExpireJob'), 'NOT_FOUND'],
  ['ExpireJob: stopped', stoppedJob, askJob('ExpireJob', {}, 'timer'), 'JOB_NOT_ACTIVE', STOPPED_JOB],
  ['CheckJobIdle: not a timer', job, askJob('CheckJobIdle'), 'NOT_FOUND'],
  ['CheckJobIdle: stopped', stoppedJob, askJob('CheckJobIdle', {}, 'timer'), 'JOB_NOT_ACTIVE', STOPPED_JOB],
  ['AttachSandbox: not a reaction', job, askJob('AttachSandbox', { sandbox: 's' }), 'NOT_FOUND'],
  [
    'AttachSandbox: twice',
    starting,
    askJob('AttachSandbox', { sandbox: SANDBOX }, 'reaction'),
    'ALREADY_EXISTS',
    { id: SANDBOX },
  ],
  ['DetachSandbox: not attached', job, askJob('DetachSandbox', { sandbox: 's' }, 'reaction'), 'NOT_FOUND'],
  ['TouchJob: not attached', job, askJob('TouchJob', { sandbox: 's' }, 'reaction'), 'NOT_FOUND'],
  [
    'TouchJob: told late of what came before',
    (b) => {
      starting(b);
      touchJob(b, 901, false);
    },
    (b) => touchJob(b, 900, true),
    'NOTHING_TO_CHANGE',
  ],

  ['OpenSandbox: no job', undefined, open(), 'NOT_FOUND'],
  [
    "OpenSandbox: somebody else's job",
    job,
    (b) => b.ask(STRANGER, 'sandbox:x', 'OpenSandbox', { ...SANDBOX_BODY, payer: STRANGER }),
    'NOT_FOUND',
  ],
  ["OpenSandbox: somebody else's money", job, open({ payer: STRANGER }), 'NOT_FOUND'],
  ['OpenSandbox: there already', starting, open(), 'ALREADY_EXISTS', { id: SANDBOX }],
  [
    'OpenSandbox: hidden from its host',
    job,
    open({ security_mode: 'confidential', image: 'x:v1.0.0' }),
    'SECURITY_MODE_NOT_ENABLED',
    { security_mode: 'confidential' },
  ],
  [
    'OpenSandbox: an unknown image',
    stoppedJob,
    open({ image: 'x:v1.0.0' }),
    'UNKNOWN_IMAGE',
    { image: 'x:v1.0.0', allowed: ['sandbox-base:v1.0.0'] },
  ],
  ['OpenSandbox: a stopped job', stoppedJob, open(), 'JOB_NOT_ACTIVE', STOPPED_JOB],
  [
    'OpenSandbox: less than a second of the job is left',
    (b) => {
      b.openJob({ ttl_ms: 1_000 });
      b.nowUs += 1_000n;
    },
    open({ isolation: 'none' }),
    'TTL_REACHED',
    { expires_at: '2026-01-01T00:00:01.000Z' },
  ],
  [
    'OpenSandbox: an isolation that nobody sells',
    job,
    open({ isolation: 'none' }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'isolation', asked: 'none', available: 'vm gvisor ns ns-lite mock', tier: 'standard' },
  ],
  [
    'OpenSandbox: asked for an isolation that nobody sells',
    job,
    open({ asked_isolation: 'none' }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'isolation', asked: 'none', available: 'vm gvisor ns ns-lite mock', tier: 'standard' },
  ],
  [
    'OpenSandbox: a stronger isolation than the machine enforces',
    job,
    open({ isolation: 'ns', asked_isolation: 'gvisor' }),
    'ISOLATION_UNAVAILABLE',
    {
      level: 'gvisor',
      missing: 'a machine of level gvisor or stronger',
      cap: 'isolation',
      asked: 'gvisor',
      available: 'ns',
    },
  ],
  [
    'OpenSandbox: as many as may run',
    (b) => {
      b.openJob({ sandboxes_max: 1 });
      b.openSandbox();
    },
    (b) => b.openSandbox({ max_spend_micros: '1' }, 'sbx_2'),
    'SANDBOX_COUNT_EXCEEDED',
    { cap: 1, running: 1 },
  ],
  [
    'OpenSandbox: its own cap is below a step',
    (b) => b.openJob({ max_total_spend_micros: '10' }),
    open({ max_spend_micros: '359' }),
    'SANDBOX_CAP_EXCEEDED',
    { cap_micros: '359', required_micros: '360', available_micros: '359' },
  ],
  [
    "OpenSandbox: the job's cap is below a step",
    (b) => b.openJob({ max_total_spend_micros: '359' }),
    open(),
    'JOB_CAP_EXCEEDED',
    { cap_micros: '359', required_micros: '360', available_micros: '359' },
  ],
  [
    'OpenSandbox: the account is below a step',
    job,
    open({ cpu_millis: 4_000, ram_mib: 8_192, disk_mib: 0 }),
    'INSUFFICIENT_FUNDS',
    { required_micros: '2400', available_micros: '2000', shortfall_micros: '400' },
  ],

  ['SellMinute: not a timer', running, use('SellMinute', SALE), 'NOT_FOUND'],
  ['SellMinute: another payer', running, use('SellMinute', { ...SALE, payer: STRANGER }, 'timer'), 'NOT_FOUND'],
  [
    'SellMinute: starting',
    starting,
    use('SellMinute', SALE, 'timer'),
    'SANDBOX_NOT_RUNNING',
    { status: 'starting', stop_reason: '' },
  ],
  ['SellMinute: ended', ended, use('SellMinute', SALE, 'timer'), 'SANDBOX_ENDED', { stop_reason: 'stopped_by_owner' }],
  ['ReportStarted: another provider', starting, use('ReportStarted', STARTED, 'provider:other'), 'NOT_FOUND'],
  [
    'ReportStarted: another life',
    starting,
    (b) => b.report('ReportStarted', { ...STARTED, incarnation: 2 }),
    'NOT_FOUND',
  ],
  [
    'ReportStarted: running',
    running,
    (b) => b.report('ReportStarted', STARTED),
    'SANDBOX_NOT_RUNNING',
    { status: 'running', stop_reason: '' },
  ],
  [
    'ReportStarted: ended',
    ended,
    (b) => b.report('ReportStarted', STARTED),
    'SANDBOX_ENDED',
    { stop_reason: 'stopped_by_owner' },
  ],
  ['ReportStarted: heard already', stoppingNow, (b) => b.report('ReportStarted', STARTED), 'NOTHING_TO_CHANGE'],
  [
    'ReportStartFailed: it ran',
    stoppingNow,
    (b) => b.report('ReportStartFailed', { cause: 'x' }),
    'SANDBOX_NOT_RUNNING',
    NOT_RUNNING,
  ],
  ['ReportStartFailed: by its owner', starting, use('ReportStartFailed', { incarnation: 1, cause: 'x' }), 'NOT_FOUND'],
  ['FailStart: by its owner', starting, use('FailStart'), 'NOT_FOUND'],
  [
    'FailStart: it started',
    running,
    use('FailStart', {}, 'timer'),
    'SANDBOX_NOT_RUNNING',
    { status: 'running', stop_reason: '' },
  ],
  ['ReportFrozen: by its owner', running, use('ReportFrozen', { at_us: '0' }), 'NOT_FOUND'],
  ['ReportThawed: never froze', stoppingNow, (b) => b.report('ReportThawed', { at_us: '0' }), 'NOTHING_TO_CHANGE'],
  ['ReportEnded: another provider', running, use('ReportEnded', ENDED, 'provider:other'), 'NOT_FOUND'],
  [
    '[I-06] ReportEnded: twice',
    ended,
    (b) => b.report('ReportEnded', ENDED),
    'SANDBOX_ENDED',
    { stop_reason: 'stopped_by_owner' },
  ],
  ['ReportLost: by its provider', running, (b) => b.report('ReportLost', { seen_at_us: '0' }), 'NOT_FOUND'],
  [
    '[I-06] ReportLost: ended',
    ended,
    use('ReportLost', { incarnation: 1, seen_at_us: '0' }, 'platform'),
    'SANDBOX_ENDED',
    { stop_reason: 'stopped_by_owner' },
  ],
  [
    'AssumeEnded: running',
    running,
    use('AssumeEnded', {}, 'timer'),
    'SANDBOX_NOT_RUNNING',
    { status: 'running', stop_reason: '' },
  ],
  ['AssumeEnded: by its owner', stoppingNow, use('AssumeEnded'), 'NOT_FOUND'],
  ['StopSandbox: none', job, use('StopSandbox'), 'NOT_FOUND'],
  ['StopSandbox: a stranger', running, use('StopSandbox', {}, STRANGER), 'NOT_FOUND'],
  ['StopSandbox: stopping', stoppingNow, use('StopSandbox'), 'SANDBOX_NOT_RUNNING', NOT_RUNNING],
  ['StopSandbox: ended', ended, use('StopSandbox'), 'SANDBOX_ENDED', { stop_reason: 'stopped_by_owner' }],
  ['StopAtTtl: by its owner', running, use('StopAtTtl'), 'NOT_FOUND'],
  ['ExtendSandbox: another job', running, use('ExtendSandbox', { ...EXTEND, job: 'job_2' }), 'NOT_FOUND'],
  ['ExtendSandbox: a stranger', running, use('ExtendSandbox', EXTEND, STRANGER), 'NOT_FOUND'],
  ['ExtendSandbox: stopping', stoppingNow, use('ExtendSandbox', EXTEND), 'SANDBOX_NOT_RUNNING', NOT_RUNNING],
  [
    'ExtendSandbox: nothing asked',
    running,
    use('ExtendSandbox', { ...EXTEND, add_spend_micros: null }),
    'NOTHING_TO_CHANGE',
  ],
  [
    'ExtendSandbox: all of the job is its already',
    running,
    use('ExtendSandbox', EXTEND),
    'JOB_CAP_EXCEEDED',
    { cap_micros: '1000000', required_micros: '1', available_micros: '999640' },
  ],
  [
    'ExtendSandbox: it lives as long as its job',
    running,
    use('ExtendSandbox', { job: JOB, add_spend_micros: null, add_ttl_ms: 5 }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'job_ttl_ms', asked: 5, available: 0, tier: 'standard' },
  ],
  ['TouchSandbox: a stranger', running, use('TouchSandbox', { reason: '', for_ms: null }, STRANGER), 'NOT_FOUND'],
  [
    'TouchSandbox: stopping',
    stoppingNow,
    use('TouchSandbox', { reason: '', for_ms: null }),
    'SANDBOX_NOT_RUNNING',
    NOT_RUNNING,
  ],
  ['StartExec: a stranger', running, use('StartExec', EXEC, STRANGER), 'NOT_FOUND'],
  ['StartExec: another life', running, use('StartExec', { ...EXEC, incarnation: 2 }), 'NOT_FOUND'],
  [
    'StartExec: starting',
    starting,
    use('StartExec', EXEC),
    'SANDBOX_NOT_RUNNING',
    { status: 'starting', stop_reason: '' },
  ],
  ['StartExec: no money', frozen, use('StartExec', EXEC), 'SANDBOX_UNFUNDED', UNFUNDED],
  [
    'StartExec: no money, and not heard to stand still yet',
    unpaid,
    use('StartExec', EXEC),
    'SANDBOX_UNFUNDED',
    UNFUNDED,
  ],
  [
    'StartExec: stands still although it is paid',
    (b) => {
      running(b);
      b.report('ReportFrozen', { at_us: String(b.nowUs) });
    },
    use('StartExec', EXEC),
    'SANDBOX_NOT_RUNNING',
    { status: 'frozen', stop_reason: '' },
  ],
  ['StartExec: ended', ended, use('StartExec', EXEC), 'SANDBOX_ENDED', { stop_reason: 'stopped_by_owner' }],
  [
    'StartExec: in flight',
    (b) => {
      running(b);
      b.use('StartExec', EXEC);
    },
    use('StartExec', EXEC),
    'ALREADY_EXISTS',
    { id: 'exec_1' },
  ],
  [
    'StartExec: the id was used for a command that is over',
    running,
    use('StartExec', { ...EXEC, first_receipt: 'rcp_1' }),
    'ALREADY_EXISTS',
    { id: 'exec_1', first_receipt: 'rcp_1' },
  ],
  ['FinishExec: by its owner', running, use('FinishExec', FINISH), 'NOT_FOUND'],
  [
    'FinishExec: the platform says more than that it never ran',
    busy,
    use('FinishExec', FINISH, 'platform'),
    'NOT_FOUND',
  ],
  ['FinishExec: not in flight', running, (b) => b.report('FinishExec', FINISH), 'NOT_FOUND'],
  [
    'FinishExec: ended',
    ended,
    (b) => b.report('FinishExec', FINISH),
    'SANDBOX_ENDED',
    { stop_reason: 'stopped_by_owner' },
  ],
  ['RecordUpload: a stranger', running, use('RecordUpload', UPLOAD, STRANGER), 'NOT_FOUND'],
  ['RecordUpload: stopping', stoppingNow, use('RecordUpload', UPLOAD), 'SANDBOX_NOT_RUNNING', NOT_RUNNING],
  ['RecordUpload: no money', frozen, use('RecordUpload', UPLOAD), 'SANDBOX_UNFUNDED', UNFUNDED],
  ['SendSecrets: no money', frozen, use('SendSecrets', SECRETS), 'SANDBOX_UNFUNDED', UNFUNDED],
  ['RecordActivity: no money', frozen, use('RecordActivity', { cause: 'list' }), 'SANDBOX_UNFUNDED', UNFUNDED],
  ['RecordActivity: no money, a stranger', frozen, use('RecordActivity', { cause: 'list' }, STRANGER), 'NOT_FOUND'],
  ['SendSecrets: a stranger', running, use('SendSecrets', SECRETS, STRANGER), 'NOT_FOUND'],
  ['SendSecrets: another life', running, use('SendSecrets', { ...SECRETS, incarnation: 2 }), 'NOT_FOUND'],
  ['SendSecrets: stopping', stoppingNow, use('SendSecrets', SECRETS), 'SANDBOX_NOT_RUNNING', NOT_RUNNING],
  ['RecordActivity: a stranger', running, use('RecordActivity', { cause: 'list' }, STRANGER), 'NOT_FOUND'],
  [
    'RecordActivity: starting',
    starting,
    use('RecordActivity', { cause: 'list' }),
    'SANDBOX_NOT_RUNNING',
    { status: 'starting', stop_reason: '' },
  ],
];

for (const [what, scene, act, rejection, facts] of ROWS)
  test(`${rejection === 'NOT_FOUND' ? '[I-32] ' : ''}refused: ${what}`, () => {
    const bench = funded('2000');
    scene?.(bench);
    const statesNow = () =>
      [...bench.world.streams].filter(([, { version }]) => version > 0).map(([name, { state }]) => [name, state]);
    const before = JSON.stringify(statesNow());
    const money = JSON.stringify([...bench.world.ledger.accounts], (_, v) => (typeof v === 'bigint' ? String(v) : v));
    const outcome = act(bench);
    assert.deepEqual([outcome.rejection, outcome.facts], [rejection, facts]);
    assert.equal(JSON.stringify(statesNow()), before, 'no state changes');
    const after = JSON.stringify([...bench.world.ledger.accounts], (_, v) => (typeof v === 'bigint' ? String(v) : v));
    assert.equal(after, money, 'no money moves');
  });

test('a command that a rule does not know is a bug of the caller', () => {
  const bench = funded('0');
  for (const stream of [`job:${JOB}`, AT, 'key:k', 'login:n', 'account:a', 'ledger:platform'])
    assert.throws(() => bench.ask('platform', stream, 'Dance'), TypeError);
});
