/**
 * A sandbox reaches what its owner named and nothing else, and its owner reads every decision.
 * Promise: everything goes through the public protocol, against a whole platform and a real TLS server.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ApiError, type Job, type Tally } from '@tallystick/sdk';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const SMALL = { cpuMillis: 500, ramMib: 128, diskMib: 32, quantumMs: 10_000n } as const;
const CURL = ['curl', '-sS', '--noproxy', '', '--max-time', '15', '--cacert', 'ca.pem'];

interface Outside {
  server: Server;
  port: number;
  certificate: Buffer;
}

/** A server of this machine, whose loopback the operator of the test's platform opens. */
async function outside(): Promise<Outside> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-tls-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...made, ...name, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  const certificate = readFileSync(cert);
  const server = createServer({ key: readFileSync(key), cert: certificate }, (asked, answer) =>
    answer.end(`hello ${asked.url}`),
  );
  rmSync(folder, { recursive: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, certificate };
}

const refusedAs = (code: string, facts: Record<string, unknown>) => (fault: unknown) => {
  assert.ok(fault instanceof ApiError, String(fault));
  assert.equal(fault.code, code, fault.message);
  for (const [name, value] of Object.entries(facts)) assert.deepEqual(fault.problem[name], value, name);
  return true;
};

describe('ways out of a sandbox', () => {
  let platform: Platform;
  let tally: Tally;
  let job: Job;
  let reached: Outside;
  before(async () => {
    reached = await outside();
    platform = await startPlatform({ quantumMs: 10_000, env: { TALLY_WARDEN_EGRESS_PRIVATE: '127.0.0.1/32' } });
    ({ tally } = await newcomer(platform.url, { depositMicros: 1_000_000n }));
    job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    reached.server.closeAllConnections();
    reached.server.close();
  });

  test('a TLS server that is named is reached; everything else is denied, told, and stays readable after the end', async () => {
    const rule = `127.0.0.1:${reached.port}`;
    const sandbox = await job.sandboxes.create({ ...SMALL, egress: { allow: [rule] } });
    assert.deepEqual(sandbox.state?.egress?.allow, [rule]);
    await sandbox.upload('ca.pem', reached.certificate);
    const url = `https://${rule}/secure`;
    const got = await sandbox.exec([...CURL, url]);
    assert.equal(got.stdout, 'hello /secure', got.stderr);
    const denied = await sandbox.exec([...CURL, 'https://example.org/']);
    assert.match(denied.stderr, /403/);
    const direct = await sandbox.exec(['curl', '-sS', '--noproxy', '*', '--max-time', '5', url]);
    assert.notEqual(direct.exitCode, 0, 'there is no way around the broker');
    const held = await tally.tools.call('egress_get', { id: sandbox.id }, { key: 'unused' });
    const told = (held['decisions'] as { outcome: string; host: string; reason: string }[]).map(
      ({ outcome, host, reason }) => `${outcome} ${host} ${reason}`.trim(),
    );
    assert.deepEqual(told, ['allowed 127.0.0.1', 'closed 127.0.0.1', 'denied example.org no_rule']);
    await sandbox.destroy();
    assert.equal((await sandbox.egress()).denied, 1n);
  });

  test('it is replaced while it runs, by receipt: what is no longer named is cut at once', async () => {
    const rule = `127.0.0.1:${reached.port}`;
    await using sandbox = await job.sandboxes.create(SMALL);
    assert.notEqual((await sandbox.exec(['sh', '-c', 'curl -sS https://example.org'])).exitCode, 0);
    const first = await sandbox.setEgress({ allow: ['Example.ORG:443', rule] });
    assert.deepEqual([first.serial, first.policy?.allow], [1n, ['example.org:443', rule]]);
    const connection = once(reached.server, 'connection');
    const hold = `const s = require('net').connect(3128, '127.0.0.1');
      s.write('CONNECT ${rule} HTTP/1.1\\r\\n\\r\\n'); s.on('data', () => {}).on('close', () => process.exit(7));`;
    const holding = sandbox.exec(['node', '-e', hold]);
    await connection;
    await until('the decision is told', async () => (await sandbox.egress()).nextAfter === 1n);
    const decision = sandbox.egressDecisions({ after: 1n })[Symbol.asyncIterator]().next();
    const live = tally.live.follow(`egress/${sandbox.id}`, { after: 1n })[Symbol.asyncIterator]();
    const liveDecision = live.next();
    const second = await sandbox.setEgress({ mode: 'none' });
    assert.equal(second.serial, 2n);
    assert.equal((await holding).exitCode, 7);
    assert.equal((await decision).value.reason, 'policy_changed');
    const { value: event } = await liveDecision;
    await live.return?.();
    assert.deepEqual([event?.cursor, event?.body.case, event?.body.value.reason], [2n, 'egress', 'policy_changed']);
    const types: string[] = [];
    for await (const { body } of tally.receipts.list({ stream: `sandbox:${sandbox.id}` }))
      types.push(...(JSON.parse(body) as { events?: { type: string }[] }).events!.map(({ type }) => type));
    assert.equal(types.filter((type) => type === 'EgressChanged').length, 2);
  });

  test('what the tier, the provider or the grammar does not allow is refused with its reason, and nothing is bought', async () => {
    const open = job.sandboxes.create({ ...SMALL, egress: { mode: 'open' } });
    const cap = { cap: 'egress', asked: 'open', available: 'none allowlist', tier: 'standard' };
    await assert.rejects(open, refusedAs('policy_cap_exceeded', cap));
    const scheme = job.sandboxes.create({ ...SMALL, egress: { allow: ['https://example.org'] } });
    await assert.rejects(scheme, refusedAs('egress_rule_invalid', { asked: 'https://example.org' }));
    const long = job.sandboxes.create({ ...SMALL, egress: { allow: Array(65).fill('example.org') } });
    await assert.rejects(long, refusedAs('invalid_request', {}));
  });
});
