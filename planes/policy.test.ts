// The policy: tiers, suspensions, switched providers, caps per day and over all jobs; a row per refusal, then laws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_POLICY } from '@tallystick/hosting';
import {
  type JsonObject,
  type Outcome,
  type Standing,
  type TierName,
  userRunningAccount,
  type World,
} from '@tallystick/kernel';
import { deciderLaws, LAW_START_US, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { RULES } from './index.ts';
import { type Bench, funded, JOB, JOB_BODY, OWNER, PROVIDER, SANDBOX, SANDBOX_BODY, STRANGER } from './testing.ts';

const SAID = { by: 'eip155:1:0xadmin', reason: 'abuse' };
const STANDING = `standing:${OWNER}`;
const SWITCH = `provider:${PROVIDER}`;
const DAY_MS = 86_400_000;
const FIRST_DAY = '2026-01-01';
/** The dearest machine that a new account may buy: 1010 micros a minute. */
const BIG = { cpu_millis: 2_000, ram_mib: 2_048, disk_mib: 2_048 };

const platform = (b: Bench, stream: string, type: string, body: JsonObject = {}): Outcome =>
  b.ask('platform', stream, type, { ...SAID, ...body });
const setTier = (b: Bench, tier: TierName): Outcome => platform(b, STANDING, 'SetTier', { tier });
const suspend = (b: Bench): Outcome => platform(b, STANDING, 'Suspend');
const story = (b: Bench, id = SANDBOX) => [b.sandbox(id).status, b.sandbox(id).stop_reason];
const dayOn = (b: Bench, day = FIRST_DAY) => [b.on(`day-cap:${OWNER}:${day}`), b.on(`day-spent:${OWNER}:${day}`)];
const slots = (b: Bench) => [b.on(`user-slot:${OWNER}`), b.on(`user-running:${OWNER}`)];
const ruleOfStop = (b: Bench) =>
  b.world.receipts.findLast(({ events }) => events.some(({ type }) => type === 'SandboxStopping'))?.policy.rule;

function running(deposit = '100000', body: JsonObject = {}, job: JsonObject = {}): Bench {
  const b = funded(deposit);
  assert.equal(b.openJob(job).rejection, undefined);
  assert.equal(b.openSandbox(body).rejection, undefined);
  assert.equal(b.started().rejection, undefined);
  return b;
}

type Row = [what: string, scene: (b: Bench) => void, act: (b: Bench) => Outcome, rejection: string, facts?: JsonObject];
const both = (b: Bench) => void [b.openJob(), b.openSandbox(), b.started()];
const SUSPENDED = { reason: 'abuse' };

const ROWS: Row[] = [
  [
    'SetTier by its owner',
    () => {},
    (b) => b.ask(OWNER, STANDING, 'SetTier', { ...SAID, tier: 'trusted' }),
    'NOT_FOUND',
  ],
  ['SetTier to the tier it has', () => {}, (b) => setTier(b, 'standard'), 'NOTHING_TO_CHANGE'],
  ['Suspend by a stranger', () => {}, (b) => b.ask(STRANGER, STANDING, 'Suspend', SAID), 'NOT_FOUND'],
  ['Suspend twice', suspend, suspend, 'NOTHING_TO_CHANGE'],
  ['Reinstate who is not suspended', () => {}, (b) => platform(b, STANDING, 'Reinstate'), 'NOTHING_TO_CHANGE'],
  ['KillProvider by a provider', () => {}, (b) => b.ask(SWITCH, SWITCH, 'KillProvider', SAID), 'NOT_FOUND'],
  ['DrainProvider of none', () => {}, (b) => platform(b, 'provider:mars', 'DrainProvider'), 'NOT_FOUND'],
  ['ResumeProvider that is open', () => {}, (b) => platform(b, SWITCH, 'ResumeProvider'), 'NOTHING_TO_CHANGE'],
  [
    'OpenJob while suspended',
    suspend,
    (b) => b.openJob({ max_total_spend_micros: '0' }),
    'ACCOUNT_SUSPENDED',
    SUSPENDED,
  ],
  [
    'ExtendJob while suspended',
    (b) => void [b.openJob(), suspend(b)],
    (b) => b.ask(OWNER, `job:${JOB}`, 'ExtendJob', { add_spend_micros: '5', add_ttl_ms: null }),
    'ACCOUNT_SUSPENDED',
    SUSPENDED,
  ],
  [
    'OpenSandbox while suspended, before anything else is looked at',
    (b) => void [b.openJob(), suspend(b)],
    (b) => b.openSandbox({ security_mode: 'confidential' }),
    'ACCOUNT_SUSPENDED',
    SUSPENDED,
  ],
  [
    'ExtendSandbox while suspended',
    (b) => void [both(b), suspend(b)],
    (b) => b.use('ExtendSandbox', { job: JOB, add_spend_micros: null, add_ttl_ms: null }),
    'ACCOUNT_SUSPENDED',
    SUSPENDED,
  ],
  [
    'OpenSandbox at a drained provider',
    (b) => void [b.openJob(), platform(b, SWITCH, 'DrainProvider')],
    (b) => b.openSandbox({ isolation: 'none' }),
    'PROVIDER_CLOSED',
    { provider: PROVIDER, status: 'drained', reason: 'abuse' },
  ],
  [
    'OpenSandbox at a killed provider',
    (b) => void [b.openJob(), platform(b, SWITCH, 'KillProvider')],
    (b) => b.openSandbox(),
    'PROVIDER_CLOSED',
    { provider: PROVIDER, status: 'killed', reason: 'abuse' },
  ],
  [
    'OpenSandbox with an isolation that its tier may not buy',
    (b) => void [b.openJob(), setTier(b, 'new')],
    (b) => b.openSandbox({ isolation: 'ns-lite' }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'isolation', asked: 'ns-lite', available: 'vm gvisor ns', tier: 'new' },
  ],
  [
    'OpenSandbox asking for an isolation that its tier may not buy, from a machine that it may',
    (b) => void [b.openJob(), setTier(b, 'new')],
    (b) => b.openSandbox({ isolation: 'ns', asked_isolation: 'ns-lite' }),
    'POLICY_CAP_EXCEEDED',
    { cap: 'isolation', asked: 'ns-lite', available: 'vm gvisor ns', tier: 'new' },
  ],
  [
    'OpenSandbox beyond what may run over all jobs, before its own job is asked',
    (b) => {
      setTier(b, 'new');
      b.openJob();
      b.openJob({ sandboxes_max: 1 }, 'job_2');
      for (let i = 0; i < 5; i++) b.openSandbox({ job: i < 4 ? JOB : 'job_2' }, `sbx_${i}`);
    },
    (b) => b.openSandbox({ job: 'job_2' }, 'sbx_9'),
    'POLICY_CAP_EXCEEDED',
    { cap: 'sandboxes_max', asked: 6, available: 0, tier: 'new' },
  ],
];

for (const [what, scene, act, rejection, facts] of ROWS)
  test(`refused: ${what}`, () => {
    const b = funded('100000');
    scene(b);
    const outcome = act(b);
    assert.deepEqual([outcome.rejection, outcome.facts], [rejection, facts]);
  });

test('a tier that nobody knows is a bug of the caller', () => {
  const b = funded('0');
  assert.throws(() => platform(b, STANDING, 'SetTier', { tier: 'royal' }), TypeError);
});

test('a standing tells what it is, counts its changes and belongs to whom it is about', () => {
  const b = funded('0');
  assert.deepEqual((setTier(b, 'trusted').answer as JsonObject)['standing'], {
    ...{ principal: OWNER, tier: 'trusted', suspended: false, reason: '', version: 1 },
    changed_at_us: String(b.nowUs),
  });
  suspend(b);
  const state = b.world.state(STANDING) as Standing;
  assert.deepEqual([state.suspended, state.reason, state.tier, state.version], [true, 'abuse', 'trusted', 2]);
  platform(b, STANDING, 'Reinstate', { reason: 'sorry' });
  assert.deepEqual([(b.world.state(STANDING) as Standing).reason, b.world.receipts.at(-1)!.owner], ['', OWNER]);
});

test('[I-07] a tier clamps what is asked and is named by it', () => {
  const b = funded('100000');
  setTier(b, 'new');
  b.openJob({ max_total_spend_micros: '9000000', sandboxes_max: 9 });
  b.openSandbox({ ...BIG, cpu_millis: 9_000 });
  const rules = [...b.job().clamps, ...b.sandbox().clamps].filter(({ rule }) => rule !== '');
  assert.deepEqual(
    rules.map(({ field, effective, rule }) => [field, effective, rule]),
    [
      ['max_total_spend_micros', '2000000', 'user_policy'],
      ['sandboxes_max', 5, 'user_policy'],
      ['cpu_millis', 2_000, 'user_policy'],
    ],
  );
});

const STOPS: [what: string, act: (b: Bench) => Outcome, rule: string][] = [
  ['its owner is suspended', suspend, 'account_suspended'],
  ['its provider is killed', (b) => platform(b, SWITCH, 'KillProvider'), 'provider_killed'],
  ['its owner falls to a tier that may not have it', (b) => setTier(b, 'new'), 'shape'],
];
for (const [what, act, rule] of STOPS)
  test(`[I-05] a sandbox stops at the end of what is paid when ${what}`, () => {
    const b = running('100000', { disk_mib: 4_096 });
    assert.equal(act(b).rejection, undefined);
    b.pass(39_000);
    assert.deepEqual(story(b), ['running', ''], 'what is paid is delivered');
    b.pass(2_000);
    assert.deepEqual([...story(b), ruleOfStop(b)], ['stopping', 'policy', rule]);
    assert.equal(b.sandbox().ends_at_us, b.sandbox().paid_until_us);
    assert.equal(b.sandbox().minutes_sold, 1);
  });

test('a drained provider goes on with what runs, a resumed one opens again, a reinstated principal too', () => {
  const b = running();
  platform(b, SWITCH, 'DrainProvider');
  b.pass(120_000);
  assert.deepEqual(story(b), ['running', '']);
  platform(b, SWITCH, 'ResumeProvider');
  suspend(b);
  platform(b, STANDING, 'Reinstate');
  assert.equal(b.openSandbox({}, 'sbx_2').rejection, undefined);
});

test('while suspended, what runs can still be used, read and stopped', () => {
  const b = running();
  suspend(b);
  assert.equal(b.use('RecordActivity', { cause: 'list' }).rejection, undefined);
  assert.equal(b.use('StopSandbox').rejection, undefined);
  assert.equal(b.ask(OWNER, `job:${JOB}`, 'StopJob').rejection, undefined);
});

test('[I-12] places are taken and given back over all jobs, and a new tier changes them at the next opening', () => {
  const b = running();
  assert.deepEqual(slots(b), [99n, 1n]);
  for (const name of [`user-slot:${OWNER}`, `day-cap:${OWNER}:${FIRST_DAY}`])
    assert.equal(b.world.ledger.accounts.get(name)!.noOverdraft, true, 'the database refuses more');
  setTier(b, 'trusted');
  b.openSandbox({}, 'sbx_2');
  assert.deepEqual(slots(b), [1_998n, 2n]);
  setTier(b, 'new');
  b.openSandbox({ disk_mib: 0 }, 'sbx_3');
  assert.deepEqual(slots(b), [2n, 3n]);
  b.use('StopSandbox');
  b.ended('stopped_by_owner', 0);
  assert.deepEqual(slots(b), [3n, 2n]);
});

test('[I-12] what is spent counts to its day, and comes back to it', () => {
  const b = running();
  assert.deepEqual(dayOn(b), [99_999_640n, 360n]);
  b.pass(41_000);
  assert.deepEqual(dayOn(b), [99_999_280n, 720n]);
  b.use('StopSandbox');
  b.ended('stopped_by_owner', 41_000);
  assert.deepEqual(dayOn(b), [99_999_754n, 246n]);
  setTier(b, 'new');
  b.openSandbox({ disk_mib: 0 }, 'sbx_2');
  assert.deepEqual(dayOn(b), [3_000_000n - 246n - 340n, 246n + 340n], 'a lower cap leaves what is left of it');
});

test('[I-12] a day that is used up opens nothing and sells nothing; the next day begins anew', () => {
  const b = funded('100000000');
  setTier(b, 'new');
  b.openJob({ max_total_spend_micros: '2000000', ttl_ms: DAY_MS });
  b.openJob({ max_total_spend_micros: '2000000', ttl_ms: DAY_MS }, 'job_2');
  const ids = ['sbx_1', 'sbx_2', 'sbx_3', 'sbx_4', 'sbx_5'];
  for (const [i, id] of ids.entries()) {
    assert.equal(b.openSandbox({ ...BIG, job: i < 3 ? JOB : 'job_2' }, id).rejection, undefined);
    b.started(id);
  }
  b.pass(594 * 60_000);
  assert.deepEqual([ruleOfStop(b), ...story(b)], ['spend_micros_per_day_max', 'stopping', 'policy']);
  const [left] = dayOn(b);
  assert.ok(left! < 1_010n);
  for (const id of ids) b.ended('policy', 999_999_999, id);
  const again = b.openSandbox(BIG, 'sbx_9');
  assert.deepEqual(
    [again.rejection, again.facts],
    ['POLICY_CAP_EXCEEDED', { cap: 'spend_micros_per_day_max', asked: '1010', available: String(left), tier: 'new' }],
  );
  b.pass(14 * 3_600_000);
  b.pass(3_600_000);
  b.openJob({}, 'job_3');
  assert.equal(b.openSandbox({ ...BIG, job: 'job_3' }, 'sbx_9').rejection, undefined);
  assert.deepEqual(dayOn(b, '2026-01-02'), [3_000_000n - 1_010n, 1_010n]);
});

test('a step counts to the day on which it is sold, also when its alarm rings after midnight', () => {
  for (const isPunctual of [true, false]) {
    const b = funded('10000000');
    b.openJob({ ttl_ms: 3 * DAY_MS });
    b.pass(DAY_MS - 50_000);
    b.openSandbox();
    b.started();
    if (isPunctual) b.pass(60_000);
    else {
      b.nowUs += 55_000_000n;
      b.world.fireDue(b.nowUs);
      assert.equal(b.sandbox().minutes_sold, 1, 'the alarm of yesterday is set anew');
      b.pass(1);
    }
    const spent = [dayOn(b)[1], dayOn(b, '2026-01-02')[1]];
    assert.deepEqual([b.sandbox().minutes_sold, spent], [2, isPunctual ? [720n, undefined] : [360n, 360n]]);
  }
});

test('an opening just before midnight may be decided just after it', () => {
  const b = funded('100000');
  b.pass(DAY_MS - 1);
  b.openJob();
  b.nowUs += 1_000n;
  assert.equal(b.openSandbox({ day: FIRST_DAY }).rejection, undefined);
  assert.deepEqual([dayOn(b)[1], dayOn(b, '2026-01-02')[1], b.sandbox().day], [undefined, 360n, '2026-01-02']);
  b.nowUs += BigInt(DAY_MS) * 1_000n;
  assert.throws(() => b.openSandbox({ day: FIRST_DAY }, 'sbx_2'), /its reads do not name it/);
});

test('every tier may have at least what the lower one may', () => {
  const { new: low, standard, trusted } = DEFAULT_POLICY.tiers;
  for (const [less, more] of [[low, standard] as const, [standard, trusted] as const])
    for (const [name, cap] of Object.entries(less)) {
      const higher = more[name as keyof typeof more];
      if (Array.isArray(cap))
        assert.ok(
          cap.every((one) => (higher as string[]).includes(one)),
          name,
        );
      else if (name !== 'ttl_ms_default') assert.ok(BigInt(cap) <= BigInt(higher as string | number), name);
    }
});

const by = (principal: string, stream: string, type: string, body: JsonObject = {}): LawCommand => ({
  ...{ principal, stream, type },
  body,
});
const IDS = ['sbx_1', 'sbx_2', 'sbx_3'];
const SETUP: LawCommand[] = [
  by('platform', 'ledger:platform', 'OpenLedger', { providers: [PROVIDER] }),
  by('platform', `account:${OWNER}`, 'OpenAccount'),
  by('platform', `account:${OWNER}`, 'CreditDeposit', {
    ...{ deposit_id: 'dep_1', amount_micros: '9000', source: 'development', reference: '' },
  }),
  by(OWNER, `job:${JOB}`, 'OpenJob', JOB_BODY),
];
const atSandbox = (make: (stream: string) => LawCommand) => fc.constantFrom(...IDS).map((id) => make(`sandbox:${id}`));
const machine = `provider:${PROVIDER}`;
const started = { incarnation: 1, started_at_us: String(LAW_START_US), isolation: 'ns' };
const ended = { incarnation: 1, at_us: String(LAW_START_US), ran_ms: 5_000, cpu_us: 1, reason: 'stopped' };
const commands = fc.oneof(
  {
    weight: 3,
    arbitrary: atSandbox((stream) => by(OWNER, stream, 'OpenSandbox', { ...SANDBOX_BODY, quantum_ms: 10_000 })),
  },
  { weight: 4, arbitrary: atSandbox((stream) => by(machine, stream, 'ReportStarted', started)) },
  { weight: 1, arbitrary: atSandbox((stream) => by(OWNER, stream, 'StopSandbox')) },
  { weight: 1, arbitrary: atSandbox((stream) => by(machine, stream, 'ReportEnded', ended)) },
  fc.constantFrom('new', 'standard', 'trusted').map((tier) => by('platform', STANDING, 'SetTier', { ...SAID, tier })),
  fc.constantFrom('Suspend', 'Reinstate', 'Reinstate').map((type) => by('platform', STANDING, type, SAID)),
  fc
    .constantFrom('DrainProvider', 'ResumeProvider', 'ResumeProvider', 'KillProvider')
    .map((type) => by('platform', SWITCH, type, SAID)),
);

/** Places and spending are what the sandboxes say; no step is sold to the suspended or at a killed provider. */
function invariant(world: World): void {
  const all = IDS.map((id) => world.state(`sandbox:${id}`)).filter(({ id }) => id !== '');
  const alive = all.filter(({ status }) => status !== 'ended').length;
  assert.equal(world.availableMicros(userRunningAccount(OWNER)) ?? 0n, BigInt(alive));
  const net = all.reduce(
    (sum, one) => sum + BigInt(String(one['charged_micros'])) - BigInt(String(one['refunded_micros'])),
    0n,
  );
  assert.equal(world.availableMicros(`day-spent:${OWNER}:${FIRST_DAY}`) ?? 0n, net);
}

function noSaleIsForbidden(world: World): void {
  let [suspended, killed] = [false, false];
  for (const { events } of world.receipts)
    for (const { type, body } of events) {
      if ('suspended' in body) suspended = body['suspended'] === true;
      if (type === 'ProviderSwitched') killed = body['status'] === 'killed';
      if (type === 'MinuteSold' || type === 'SandboxOpened') assert.ok(!suspended && !killed, type);
    }
}

test('[I-10] [I-12] [I-21] [I-22] the laws hold while tiers, suspensions and providers change', () => {
  deciderLaws({
    ...{ rules: RULES, commands, setup: SETUP, runs: 80, stepUsMax: 12_000_000n },
    invariant(world) {
      invariant(world);
      noSaleIsForbidden(world);
    },
  });
});

for (const [machine, asked] of [
  ['ns', 'ns'],
  ['gvisor', 'gvisor'],
  ['gvisor', 'ns'],
  ['vm', 'gvisor'],
]) {
  test(`a machine of level ${machine} serves who asks for ${asked}, and is sold as what it is`, () => {
    const b = funded('1000000');
    b.openJob();
    assert.ok(!('rejection' in b.openSandbox({ isolation: `${machine}`, asked_isolation: `${asked}` })));
    assert.equal(b.sandbox().isolation, machine);
  });
}
