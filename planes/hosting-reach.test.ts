// Ways into a sandbox: who may open a port, how many and for how long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@tallystick/kernel';
import { type Bench, funded, SANDBOX, STRANGER } from './testing.ts';

const TTL_MS = 10_000;
const EXPOSE = { port: 8_080, visibility: 'link', ttl_ms: TTL_MS };

function running(): Bench {
  const bench = funded('1000000');
  bench.openJob();
  bench.openSandbox();
  bench.started();
  return bench;
}

const expose = (bench: Bench, changes: JsonObject = {}) => bench.use('ExposePort', { ...EXPOSE, ...changes });
const portsOf = (bench: Bench): number[] => (bench.sandbox().ports ?? []).map(({ port }) => port);

test('a port is open until its time is over, and exposing it anew changes its serial', () => {
  const bench = running();
  expose(bench);
  const [first] = bench.sandbox().ports!;
  assert.deepEqual(
    [first?.port, first?.visibility, first?.serial, BigInt(first!.expires_at_us!) - BigInt(first!.exposed_at_us)],
    [8_080, 'link', 1, 10_000_000n],
  );
  expose(bench, { visibility: 'private', ttl_ms: null });
  assert.deepEqual(
    bench.sandbox().ports!.map(({ visibility, serial, expires_at_us }) => [visibility, serial, expires_at_us]),
    [['private', 2, null]],
  );
  bench.use('ClosePort', { port: 8_080 });
  assert.deepEqual(portsOf(bench), []);
  expose(bench);
  assert.equal(bench.sandbox().ports![0]?.serial, 3, 'a closed port comes back under a new serial');
});

test('a tier caps the open ports; one that has expired counts no more', () => {
  const bench = running();
  for (let port = 1; port <= 10; port += 1) assert.equal(expose(bench, { port }).rejection, undefined);
  const over = expose(bench, { port: 11 });
  assert.equal(over.rejection, 'POLICY_CAP_EXCEEDED');
  assert.deepEqual(over.facts, { cap: 'ports_max', asked: 11, available: 10, tier: 'standard' });
  assert.equal(expose(bench, { port: 3 }).rejection, undefined, 'one that is open may be opened anew');
  bench.pass(TTL_MS + 1);
  assert.equal(expose(bench, { port: 11 }).rejection, undefined);
  assert.deepEqual(portsOf(bench), [11]);
});

const CHANGES: [type: string, body: JsonObject][] = [
  ['ExposePort', EXPOSE],
  ['ClosePort', { port: 8_080 }],
];
for (const [type, body] of CHANGES) {
  test(`[I-32] ${type}: a stranger learns nothing, and nothing changes after the end`, () => {
    const bench = running();
    expose(bench);
    assert.equal(bench.ask(STRANGER, `sandbox:${SANDBOX}`, type, body).rejection, 'NOT_FOUND');
    bench.use('StopSandbox');
    bench.ended('stopped_by_owner', 0);
    assert.equal(bench.use(type, body).rejection, 'SANDBOX_ENDED');
  });
}

test('what is not open cannot be closed', () => {
  const bench = running();
  assert.equal(bench.use('ClosePort', { port: 8_080 }).rejection, 'NOT_FOUND');
  expose(bench);
  bench.pass(TTL_MS + 1);
  assert.equal(bench.use('ClosePort', { port: 8_080 }).rejection, 'NOT_FOUND');
});
