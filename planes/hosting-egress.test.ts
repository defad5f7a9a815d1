// Ways out of a sandbox: what the tier allows, what the provider offers, and what the machine is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@tallystick/kernel';
import { type Bench, funded, OWNER, PROVIDER, SANDBOX, STRANGER } from './testing.ts';

const OFFERED = ['none', 'allowlist'];
const LIST = { mode: 'allowlist', allow: ['Example.com', '*.example.org:80,443'] };
const KEPT = ['example.com:443', '*.example.org:80,443'];

function ready(tier?: string): Bench {
  const bench = funded('1000000');
  if (tier) bench.ask('platform', `standing:${OWNER}`, 'SetTier', { by: 'eip155:1:0xadmin', reason: 'test', tier });
  bench.openJob();
  return bench;
}

const open = (bench: Bench, egress: JsonObject, offered = OFFERED) =>
  bench.openSandbox({ egress, egress_offered: offered });

function running(egress?: JsonObject): Bench {
  const bench = ready();
  if (egress) open(bench, egress);
  else bench.openSandbox();
  bench.started();
  return bench;
}

const set = (bench: Bench, changes: JsonObject = {}) =>
  bench.use('SetEgress', { ...LIST, egress_offered: OFFERED, ...changes });
const sent = (bench: Bench, topic: string) =>
  bench.world.outbox.filter((message) => message.topic === topic).map(({ body }) => body['egress']);

test('what was asked for stands in the sandbox and goes to its machine; nothing asked, nothing said', () => {
  const bench = ready();
  assert.equal(open(bench, LIST).rejection, undefined);
  assert.deepEqual(bench.sandbox().egress, { serial: 1, mode: 'allowlist', allow: KEPT });
  assert.deepEqual(sent(bench, 'create-sandbox'), [{ serial: 1, mode: 'allowlist', allow: KEPT }]);
  for (const egress of [undefined, { mode: 'none', allow: [] }]) {
    const without = ready();
    assert.equal(without.openSandbox(egress ? { egress } : {}).rejection, undefined);
    assert.equal('egress' in without.sandbox(), false);
    assert.deepEqual(sent(without, 'create-sandbox'), [undefined]);
  }
});

const REFUSED: [
  what: string,
  tier: string,
  egress: JsonObject,
  offered: string[],
  rejection: string,
  facts: JsonObject,
][] = [
  [
    'a tier without',
    'new',
    LIST,
    OFFERED,
    'POLICY_CAP_EXCEEDED',
    { cap: 'egress', asked: 'allowlist', available: 'none', tier: 'new' },
  ],
  [
    'open in the middle tier',
    'standard',
    { mode: 'open', allow: [] },
    OFFERED,
    'POLICY_CAP_EXCEEDED',
    { cap: 'egress', asked: 'open', available: 'none allowlist', tier: 'standard' },
  ],
  [
    'open where it is not offered',
    'trusted',
    { mode: 'open', allow: [] },
    OFFERED,
    'EGRESS_NOT_OFFERED',
    { cap: 'egress', asked: 'open', available: 'none allowlist', provider: PROVIDER },
  ],
  [
    'a list where there is none',
    'standard',
    LIST,
    ['none'],
    'EGRESS_NOT_OFFERED',
    { cap: 'egress', asked: 'allowlist', available: 'none', provider: PROVIDER },
  ],
  [
    'rules without a list',
    'trusted',
    { mode: 'open', allow: ['a.com'] },
    [...OFFERED, 'open'],
    'EGRESS_RULE_INVALID',
    { asked: 'a.com', cause: 'open has no rules' },
  ],
];
for (const [what, tier, egress, offered, rejection, facts] of REFUSED) {
  test(`refused at the opening and later: ${what}`, () => {
    const bench = ready(tier);
    const outcome = open(bench, egress, offered);
    assert.deepEqual([outcome.rejection, outcome.facts], [rejection, facts]);
    assert.equal(bench.sandbox().status, '');
    bench.openSandbox();
    bench.started();
    const later = bench.use('SetEgress', { ...egress, egress_offered: offered });
    assert.deepEqual([later.rejection, later.facts], [rejection, facts]);
  });
}

test('a rule that cannot be read is named', () => {
  const { rejection, facts } = open(ready(), { mode: 'allowlist', allow: ['a.com', 'http://b.com'] });
  assert.equal(rejection, 'EGRESS_RULE_INVALID');
  assert.equal(facts?.['asked'], 'http://b.com');
  assert.match(String(facts?.['cause']), /without a scheme/);
});

test('every change counts up and is sent, also to a machine that stands still or ends', () => {
  const bench = running(LIST);
  assert.equal(set(bench, { allow: ['b.com:*'] }).rejection, undefined);
  bench.use('StopSandbox');
  assert.equal(set(bench, { mode: 'none', allow: [] }).rejection, undefined);
  assert.deepEqual(sent(bench, 'set-egress'), [
    { serial: 2, mode: 'allowlist', allow: ['b.com:*'] },
    { serial: 3, mode: 'none', allow: [] },
  ]);
  bench.ended('stopped_by_owner', 0);
  assert.equal(set(bench).rejection, 'SANDBOX_ENDED');
});

test('[I-32] a stranger learns nothing; who is suspended may shut in and not let out', () => {
  const bench = running();
  const body = { ...LIST, egress_offered: OFFERED };
  assert.equal(bench.ask(STRANGER, `sandbox:${SANDBOX}`, 'SetEgress', body).rejection, 'NOT_FOUND');
  bench.ask('platform', `standing:${OWNER}`, 'Suspend', { by: 'eip155:1:0xadmin', reason: 'abuse' });
  assert.equal(set(bench).rejection, 'ACCOUNT_SUSPENDED');
  assert.equal(set(bench, { mode: 'none', allow: [] }).rejection, undefined);
});

test('a tier that allows it no more sells no further minute to what still reaches out', () => {
  const bench = running(LIST);
  bench.ask('platform', `standing:${OWNER}`, 'SetTier', { by: 'eip155:1:0xadmin', reason: 'test', tier: 'new' });
  bench.pass(60_000);
  assert.deepEqual([bench.sandbox().status, bench.sandbox().stop_reason], ['stopping', 'policy']);
});
