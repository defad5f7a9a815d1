// Snapshots: who may keep what, how much and how long; a row per refusal, the lives, then the laws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_POLICY, endSnapshotOf, type SnapshotState } from '@tallystick/hosting';
import type { JsonObject, Outcome, World } from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { RULES } from './index.ts';
import { type Bench, funded, JOB_BODY, OWNER, PROVIDER, SANDBOX, SANDBOX_BODY, STRANGER } from './testing.ts';

const ID = 'snp_a';
const KEPT = endSnapshotOf(SANDBOX);
const REPORTER = `provider:${PROVIDER}`;
const MIB = 1 << 20;
const DIGEST = 'd'.repeat(64);
const SHA = 'a'.repeat(64);
const HOUR_MS = 3_600_000;
const TAKE = { sandbox: SANDBOX, label: 'mine', ttl_ms: null };
const TAKEN = {
  sandbox: SANDBOX,
  owner: OWNER,
  incarnation: 1,
  image_digest: DIGEST,
  disk_mib: 256,
  bytes: 5_000_000,
  sha256: SHA,
};

const at = (id: string): string => `snapshot:${id}`;
const take = (b: Bench, id = ID, body: JsonObject = {}, who = OWNER): Outcome =>
  b.ask(who, at(id), 'TakeSnapshot', { ...TAKE, ...body });
const tell = (b: Bench, type: string, body: JsonObject = {}, id = ID, who = REPORTER): Outcome =>
  b.ask(who, at(id), type, body);
const taken = (b: Bench, id = ID, body: JsonObject = {}): Outcome =>
  tell(b, 'ReportSnapshot', { ...TAKEN, ...body }, id);
const stateOf = (b: Bench, id = ID): SnapshotState => b.world.state(at(id)) as SnapshotState;
const used = (b: Bench) => [b.on(`user-snapshots:${OWNER}`), b.on(`user-stored:${OWNER}`)];
const lastWith = (b: Bench, event: string) =>
  b.world.receipts.findLast(({ events }) => events.some(({ type }) => type === event))!;
const outgoing = (b: Bench, topic: string): JsonObject[] =>
  b.world.outbox.filter((one) => one.topic === topic).map(({ body }) => body);

function running(body: JsonObject = {}): Bench {
  const b = funded('1000000');
  b.openJob();
  assert.equal(b.openSandbox({ disk_mib: 256, ...body }).rejection, undefined);
  b.started();
  return b;
}

function ready(b = running()): Bench {
  assert.equal(take(b).rejection, undefined);
  assert.equal(taken(b).rejection, undefined);
  return b;
}

/** It ran out of its own money and is over. */
function poor(on_end: string | null = 'snapshot'): Bench {
  const b = running({ max_spend_micros: '400', ...(on_end ? { on_end } : {}) });
  b.pass(70_000);
  b.ended('sandbox_cap', 60_000);
  assert.equal(b.sandbox().status, 'ended');
  return b;
}

const platform = (b: Bench, type: string, body: JsonObject = {}): Outcome =>
  b.ask('platform', `standing:${OWNER}`, type, { by: 'eip155:1:0xadmin', reason: 'abuse', ...body });
const next = (b: Bench, body: JsonObject): Outcome => b.openSandbox({ disk_mib: 256, snapshot: ID, ...body }, 'sbx_2');

type Row = [what: string, scene: () => Bench, act: (b: Bench) => Outcome, rejection: string, facts?: JsonObject];

const ROWS: Row[] = [
  ['TakeSnapshot of no sandbox', () => funded('1000'), (b) => take(b), 'NOT_FOUND'],
  ["TakeSnapshot of somebody else's", running, (b) => take(b, ID, {}, STRANGER), 'NOT_FOUND'],
  ['TakeSnapshot under an id that is taken', ready, (b) => take(b), 'ALREADY_EXISTS', { id: ID }],
  [
    'TakeSnapshot of one that starts',
    () => {
      const b = funded('1000000');
      b.openJob();
      b.openSandbox();
      return b;
    },
    (b) => take(b),
    'SANDBOX_NOT_RUNNING',
    { status: 'starting', stop_reason: '' },
  ],
  ['TakeSnapshot of one that has ended', poor, (b) => take(b), 'SANDBOX_ENDED', { stop_reason: 'sandbox_cap' }],
  [
    'TakeSnapshot by who is suspended',
    () => {
      const b = running();
      platform(b, 'Suspend');
      return b;
    },
    (b) => take(b),
    'ACCOUNT_SUSPENDED',
    { reason: 'abuse' },
  ],
  [
    'TakeSnapshot of a disk that lives in memory',
    () => running({ disk_mib: 255 }),
    (b) => take(b),
    'DISK_OUT_OF_RANGE',
    { cap: 'snapshot_disk_mib_min', asked: 255, available: 256 },
  ],
  [
    'TakeSnapshot beyond the count of the tier',
    () => {
      const b = running();
      platform(b, 'SetTier', { tier: 'new' });
      for (const id of ['snp_1x', 'snp_2x', 'snp_3x']) assert.equal(take(b, id).rejection, undefined);
      return b;
    },
    (b) => take(b),
    'POLICY_CAP_EXCEEDED',
    { cap: 'snapshots_max', asked: 4, available: 0, tier: 'new' },
  ],
  [
    'TakeSnapshot beyond the bytes of the tier',
    () => {
      const b = running({ disk_mib: 2_048 });
      platform(b, 'SetTier', { tier: 'new' });
      for (const id of ['snp_1x', 'snp_2x']) assert.equal(take(b, id).rejection, undefined);
      taken(b, 'snp_1x', { disk_mib: 2_048, bytes: MIB });
      return b;
    },
    (b) => take(b),
    'POLICY_CAP_EXCEEDED',
    { cap: 'snapshot_bytes_max', asked: String(2_048 * MIB), available: String(2_047 * MIB), tier: 'new' },
  ],
  ['ReportSnapshot by somebody else', running, (b) => tell(b, 'ReportSnapshot', TAKEN, ID, OWNER), 'NOT_FOUND'],
  ['ReportSnapshot of what nobody asked for', running, (b) => taken(b), 'NOT_FOUND'],
  ['ReportSnapshot a second time', ready, (b) => taken(b), 'NOTHING_TO_CHANGE'],
  ['ReportSnapshot at the end of one that keeps nothing', () => poor(null), (b) => taken(b, KEPT), 'NOT_FOUND'],
  ['ReportSnapshot at the end under another name', poor, (b) => taken(b), 'NOT_FOUND'],
  [
    'ReportSnapshot at the end of one that lives',
    () => running({ on_end: 'snapshot' }),
    (b) => taken(b, KEPT),
    'SANDBOX_NOT_RUNNING',
    { status: 'running', stop_reason: '' },
  ],
  [
    'ReportSnapshotFailed of a ready one',
    ready,
    (b) => tell(b, 'ReportSnapshotFailed', { cause: 'x' }),
    'NOTHING_TO_CHANGE',
  ],
  [
    'ReportSnapshotDamaged by its owner',
    ready,
    (b) => tell(b, 'ReportSnapshotDamaged', { cause: 'x' }, ID, OWNER),
    'NOT_FOUND',
  ],
  ['ReportSnapshotLost of none', running, (b) => tell(b, 'ReportSnapshotLost'), 'NOT_FOUND'],
  ['GiveUpSnapshot by its owner', ready, (b) => tell(b, 'GiveUpSnapshot', {}, ID, OWNER), 'NOT_FOUND'],
  ['ExpireSnapshot by its owner', ready, (b) => tell(b, 'ExpireSnapshot', {}, ID, OWNER), 'NOT_FOUND'],
  ['DeleteSnapshot by a stranger', ready, (b) => tell(b, 'DeleteSnapshot', {}, ID, STRANGER), 'NOT_FOUND'],
  ['DeleteSnapshot of none', running, (b) => tell(b, 'DeleteSnapshot', {}, ID, OWNER), 'NOT_FOUND'],
  [
    'DeleteSnapshot twice',
    () => {
      const b = ready();
      tell(b, 'DeleteSnapshot', {}, ID, OWNER);
      return b;
    },
    (b) => tell(b, 'DeleteSnapshot', {}, ID, OWNER),
    'NOTHING_TO_CHANGE',
  ],
  ['NoteSnapshot by its owner', poor, (b) => b.use('NoteSnapshot', { snapshot: KEPT }), 'NOT_FOUND'],
  ['OpenSandbox from no snapshot', running, (b) => next(b, {}), 'NOT_FOUND'],
  [
    'OpenSandbox from one that is being made',
    () => {
      const b = running();
      take(b);
      return b;
    },
    (b) => next(b, {}),
    'SNAPSHOT_NOT_READY',
    { id: ID, status: 'making' },
  ],
  [
    'OpenSandbox from a damaged one',
    () => {
      const b = ready();
      tell(b, 'ReportSnapshotDamaged', { cause: 'snapshot_digest_mismatch' });
      return b;
    },
    (b) => next(b, {}),
    'SNAPSHOT_DAMAGED',
    { id: ID, cause: 'snapshot_digest_mismatch' },
  ],
  [
    'OpenSandbox from one that was deleted',
    () => {
      const b = ready();
      tell(b, 'DeleteSnapshot', {}, ID, OWNER);
      return b;
    },
    (b) => next(b, {}),
    'NOT_FOUND',
  ],
  [
    'OpenSandbox with a smaller disk',
    () => ready(running({ disk_mib: 300 })),
    (b) => next(b, {}),
    'DISK_OUT_OF_RANGE',
    { cap: 'disk_mib_min', asked: 256, available: 300 },
  ],
  [
    'OpenSandbox that is to keep a disk in memory',
    running,
    (b) => next(b, { snapshot: null, on_end: 'snapshot', disk_mib: 100 }),
    'DISK_OUT_OF_RANGE',
    { cap: 'snapshot_disk_mib_min', asked: 100, available: 256 },
  ],
  [
    'OpenSandbox of another image',
    running,
    (b) => next(b, { snapshot: null, asked_image_digest: SHA }),
    'IMAGE_DIGEST_MISMATCH',
    { image: 'sandbox-base:v1.0.0', asked: SHA, available: DIGEST },
  ],
];

for (const [what, scene, act, rejection, facts] of ROWS) {
  test(`${rejection}: ${what}`, () => {
    const b = scene();
    const before = used(b);
    const outcome = act(b);
    assert.equal(outcome.rejection, rejection);
    if (facts) assert.deepEqual(outcome.facts, facts);
    assert.deepEqual(used(b), before, 'a refusal leaves no trace');
  });
}

test('[I-12] a snapshot takes the whole disk of the cap while it is made, then what is stored, and gives it all back', () => {
  const b = running();
  take(b);
  assert.deepEqual(used(b), [1n, BigInt(256 * MIB)]);
  assert.deepEqual(outgoing(b, 'take-snapshot'), [
    { snapshot: ID, of_sandbox: SANDBOX, incarnation: 1, provider: PROVIDER, owner: OWNER },
  ]);
  taken(b);
  assert.deepEqual(used(b), [1n, 5_000_000n]);
  const { status, sha256, bytes, image_digest, expires_at_us, taken_at_us } = stateOf(b);
  assert.deepEqual([status, sha256, bytes, image_digest], ['ready', SHA, '5000000', DIGEST]);
  const ttlMs = DEFAULT_POLICY.tiers.standard.snapshot_ttl_ms_max;
  assert.equal(BigInt(expires_at_us!) - BigInt(taken_at_us!), BigInt(ttlMs) * 1_000n);
  tell(b, 'DeleteSnapshot', {}, ID, OWNER);
  assert.deepEqual(used(b), [0n, 0n]);
  assert.deepEqual([stateOf(b).status, stateOf(b).reason], ['deleted', 'deleted_by_owner']);
  assert.deepEqual(outgoing(b, 'delete-snapshot'), [{ snapshot: ID, of_sandbox: SANDBOX, provider: PROVIDER }]);
});

test('a machine that claims more bytes than the disk has counts for the disk', () => {
  const b = running();
  take(b);
  taken(b, ID, { bytes: 999 * MIB });
  assert.deepEqual(used(b), [1n, BigInt(256 * MIB)]);
});

test('one expires by itself, at the asked time or at the latest when the tier says; the receipt says which', () => {
  const b = running();
  take(b, ID, { ttl_ms: HOUR_MS });
  taken(b);
  const longest = DEFAULT_POLICY.tiers.standard.snapshot_ttl_ms_max;
  take(b, 'snp_b', { ttl_ms: 2 * longest });
  taken(b, 'snp_b');
  assert.deepEqual(stateOf(b, 'snp_b').clamps, [
    { field: 'ttl_ms', requested: 2 * longest, effective: longest, rule: 'user_policy' },
  ]);
  b.pass(HOUR_MS + 1);
  assert.deepEqual([stateOf(b).status, stateOf(b).reason], ['deleted', 'expired']);
  assert.equal(stateOf(b, 'snp_b').status, 'ready');
  b.pass(longest);
  assert.equal(stateOf(b, 'snp_b').reason, 'expired');
  assert.deepEqual(used(b), [0n, 0n]);
});

test('what the machine cannot take, or says nothing of, fails with its reason and counts no more', () => {
  const b = running();
  take(b);
  tell(b, 'ReportSnapshotFailed', { cause: 'no_room' });
  assert.deepEqual([stateOf(b).status, stateOf(b).reason], ['failed', 'no_room']);
  take(b, 'snp_b');
  b.pass(700_000);
  assert.deepEqual([stateOf(b, 'snp_b').status, stateOf(b, 'snp_b').reason], ['failed', 'not_heard']);
  assert.equal(taken(b, 'snp_b').rejection, 'NOTHING_TO_CHANGE', 'too late');
  assert.deepEqual(used(b), [0n, 0n]);
  assert.equal(outgoing(b, 'delete-snapshot').length, 2, 'a late one is removed');
});

test('a damaged one stays until it is deleted; a lost one is gone', () => {
  const b = ready();
  tell(b, 'ReportSnapshotDamaged', { cause: 'snapshot_digest_mismatch' });
  assert.equal(stateOf(b).status, 'damaged');
  assert.deepEqual(used(b), [1n, 5_000_000n]);
  tell(b, 'ReportSnapshotLost');
  assert.deepEqual([stateOf(b).reason, used(b)], ['provider_lost', [0n, 0n]]);
});

test('[I-36] the order to start names the snapshot by its digest, and the image; so does the receipt', () => {
  const b = ready();
  assert.equal(next(b, { on_end: 'snapshot' }).rejection, undefined);
  const order = outgoing(b, 'create-sandbox').at(-1)!;
  assert.deepEqual(
    [order['from'], order['image_digest'], order['keep_as']],
    [{ snapshot: ID, sha256: SHA }, DIGEST, 'snp_2'],
  );
  const { events } = lastWith(b, 'SandboxOpened');
  const { from_snapshot, from_sha256, image_digest, on_end } = events[0]!.body;
  assert.deepEqual([from_snapshot, from_sha256, image_digest, on_end], [ID, SHA, DIGEST, 'snapshot']);
  b.report('ReportStarted', { started_at_us: String(b.nowUs), isolation: 'ns', image_digest: SHA }, 'sbx_2');
  assert.deepEqual([b.sandbox('sbx_2').status, b.sandbox('sbx_2').stop_reason], ['stopping', 'policy']);
  assert.equal(lastWith(b, 'SandboxStopping').policy.rule, 'image_digest');
});

test('what is left at the end of money is kept under the name that the sandbox announced, and the sandbox says so', () => {
  const b = poor();
  assert.equal(taken(b, KEPT).rejection, undefined);
  const { owner, cause, status, sandbox, label } = stateOf(b, KEPT);
  assert.deepEqual([owner, cause, status, sandbox, label], [OWNER, 'on_end', 'ready', SANDBOX, 'one']);
  assert.deepEqual(used(b), [1n, 5_000_000n]);
  assert.equal(b.sandbox().kept_snapshot, KEPT);
  const heir = b.openSandbox({ disk_mib: 256, snapshot: KEPT }, 'sbx_2');
  assert.equal(heir.rejection, undefined);
});

test('what does not fit the caps of its owner at the end is not kept: a receipt says why, and the machine removes it', () => {
  const b = running({ max_spend_micros: '400', on_end: 'snapshot' });
  platform(b, 'SetTier', { tier: 'new' });
  for (const id of ['snp_1x', 'snp_2x', 'snp_3x']) take(b, id);
  b.pass(70_000);
  b.ended('sandbox_cap', 60_000);
  assert.equal(taken(b, KEPT).rejection, undefined);
  assert.deepEqual([stateOf(b, KEPT).status, stateOf(b, KEPT).reason], ['failed', 'snapshots_max']);
  assert.equal(stateOf(b, KEPT).owner, OWNER);
  assert.deepEqual(outgoing(b, 'delete-snapshot').at(-1)?.['snapshot'], KEPT);
  assert.equal(b.sandbox().kept_snapshot, undefined);
});

const by = (principal: string, stream: string, type: string, body: JsonObject = {}): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
const IDS = ['snp_1', 'snp_2', 'snp_3', 'snp_4', 'snp_5'];
const id = fc.constantFrom(...IDS);
const who = fc.constantFrom(OWNER, OWNER, OWNER, STRANGER);
const box = fc.constantFrom('sbx_1', 'sbx_2');
const bytes = fc.integer({ min: 0, max: 400 * MIB });
const byProvider = (type: string, body: fc.Arbitrary<JsonObject>) =>
  fc.record({ id, body }).map((one) => by(REPORTER, at(one.id), type, one.body));

const LAW_COMMANDS = fc.oneof(
  fc
    .record({ who, id, box, ttl: fc.option(fc.integer({ min: 1, max: 400_000 })) })
    .map((one) => by(one.who, at(one.id), 'TakeSnapshot', { sandbox: one.box, label: '', ttl_ms: one.ttl })),
  fc.record({ who, id }).map((one) => by(one.who, at(one.id), 'DeleteSnapshot')),
  byProvider(
    'ReportSnapshot',
    fc.record({ box, bytes }).map((one) => ({ ...TAKEN, sandbox: one.box, bytes: one.bytes })),
  ),
  byProvider('ReportSnapshotFailed', fc.constant({ cause: 'no_room' })),
  byProvider('ReportSnapshotDamaged', fc.constant({ cause: 'x' })),
  byProvider('ReportSnapshotLost', fc.constant({})),
  fc
    .constantFrom('new', 'standard')
    .map((tier) => by('platform', `standing:${OWNER}`, 'SetTier', { by: 'x', reason: 'y', tier })),
  fc.record({ box, id: fc.option(id), keeps: fc.boolean() }).map((one) =>
    by(OWNER, `sandbox:${one.box}`, 'OpenSandbox', {
      ...SANDBOX_BODY,
      disk_mib: 256,
      max_spend_micros: '400',
      snapshot: one.id,
      ...(one.keeps ? { on_end: 'snapshot' } : {}),
    }),
  ),
  box.map((one) =>
    by(REPORTER, `sandbox:${one}`, 'ReportStarted', { incarnation: 1, started_at_us: '0', isolation: 'ns' }),
  ),
  box.map((one) =>
    by(REPORTER, `sandbox:${one}`, 'ReportEnded', { incarnation: 1, at_us: '0', ran_ms: 0, cpu_us: 0, reason: 'idle' }),
  ),
);

/** What the accounts count is what the states say is kept; within the widest tier that ever held. */
function invariant(world: World): void {
  const all = IDS.map((one) => world.state(at(one)) as SnapshotState);
  const kept = all.filter(({ is_kept }) => is_kept);
  const on = (account: string): bigint => world.availableMicros(account) ?? 0n;
  assert.equal(on(`user-snapshots:${OWNER}`), BigInt(kept.length));
  assert.equal(
    on(`user-stored:${OWNER}`),
    kept.reduce((sum, one) => sum + BigInt(one.bytes), 0n),
  );
  for (const one of all) {
    const alarms = [...world.timers.keys()].filter((timer) => timer === `snapshot:${one.id}`).length;
    assert.equal(alarms, one.is_kept ? 1 : 0, `${one.id} is ${one.status}`);
    assert.equal(one.is_kept, ['making', 'ready', 'damaged'].includes(one.status));
    assert.equal(one.reason !== '', ['damaged', 'failed', 'deleted'].includes(one.status));
  }
}

test('[I-12] [I-21] [I-22] the laws hold for snapshots: what is counted is what is kept, and every one of them ends', () => {
  const setup = [
    by('platform', 'ledger:platform', 'OpenLedger', { providers: [PROVIDER] }),
    by('platform', `account:${OWNER}`, 'OpenAccount'),
    by('platform', `account:${OWNER}`, 'CreditDeposit', {
      deposit_id: 'dep_1',
      amount_micros: '100000',
      source: 'development',
      reference: '',
    }),
    by(OWNER, 'job:job_1', 'OpenJob', JOB_BODY),
    by(OWNER, 'sandbox:sbx_1', 'OpenSandbox', { ...SANDBOX_BODY, disk_mib: 256, on_end: 'snapshot' }),
    by(REPORTER, 'sandbox:sbx_1', 'ReportStarted', { incarnation: 1, started_at_us: '0', isolation: 'ns' }),
  ];
  deciderLaws({ rules: RULES, commands: LAW_COMMANDS, setup, invariant, runs: 100, stepUsMax: 60_000_000n });
});
