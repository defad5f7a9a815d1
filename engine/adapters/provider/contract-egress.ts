/**
 * What every provider must do with ways out, as part of the suite over the port.
 * Promise: nothing is let out that no rule names, a newer policy wins, and every decision can be read.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContractRig } from './contract.ts';
import { ProviderFault, type SandboxSpec } from './port.ts';
import type { EgressPolicy } from './port-egress.ts';

const WAIT_MS = 20_000;
const CURL = ['curl', '-s', '--noproxy', '', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '15'];

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };

const allowlist = (serial: number, ...allow: string[]): EgressPolicy => ({ serial, mode: 'allowlist', allow });
let asked = 0;

async function printed({ provider }: ContractRig, sandbox: string, argv: string[]): Promise<string> {
  const execId = `out${++asked}`;
  await provider.startExec(sandbox, { exec_id: execId, argv });
  await provider.getExec(sandbox, execId, WAIT_MS);
  const { chunks } = await provider.output(sandbox, execId);
  return Buffer.concat(chunks.map(({ bytes }) => bytes)).toString();
}

type Fresh = (rig: ContractRig, paidMs?: number, changes?: Partial<SandboxSpec>) => Promise<string>;

/** Call inside a `describe`; `fresh` starts a sandbox of its own. */
export function egressContract(rigged: () => ContractRig, fresh: Fresh): void {
  test('what no rule names is denied, and what lies inside as well; each decision is told once', async (context) => {
    const rig = rigged();
    const { provider } = rig;
    if (!(await provider.descriptor()).egress.includes('allowlist')) return context.skip('it offers no allowlist');
    const egress = allowlist(1, 'Example.TEST:8000-8010', '127.0.0.1:*');
    const sandbox = await fresh(rig, undefined, { egress });
    assert.match(await printed(rig, sandbox, ['sh', '-c', 'echo $HTTPS_PROXY']), /^http:\/\/127\.0\.0\.1:[0-9]+\n$/);
    for (const url of ['http://example.test:80/', 'http://www.example.test:8000/', 'http://127.0.0.1:1/'])
      assert.match(await printed(rig, sandbox, [...CURL, url]), /403$/, url);
    const page = await provider.egress(sandbox);
    assert.deepEqual(
      page.decisions.map(({ outcome, host, port, reason }) => [outcome, host, port, reason]),
      [
        ['denied', 'example.test', 80, 'no_rule'],
        ['denied', 'www.example.test', 8_000, 'no_rule'],
        ['denied', '127.0.0.1', 1, 'loopback'],
      ],
    );
    assert.deepEqual(
      [page.mode, page.allow, page.denied, page.open],
      ['allowlist', ['example.test:8000-8010', '127.0.0.1:*'], 3, 0],
    );
    assert.deepEqual((await provider.egress(sandbox, page.next_after)).decisions, []);
    await provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });

  test('a policy is replaced while it runs; an older one, one for another life and one that is none are not taken', async (context) => {
    const rig = rigged();
    const { provider } = rig;
    if (!(await provider.descriptor()).egress.includes('allowlist')) return context.skip('it offers no allowlist');
    const sandbox = await fresh(rig);
    assert.equal((await provider.egress(sandbox)).mode, 'none');
    assert.equal(await printed(rig, sandbox, ['sh', '-c', 'echo $HTTPS_PROXY']), '\n');
    const order = { incarnation: 1, ...allowlist(2, 'a.test') };
    assert.deepEqual((await provider.setEgress(sandbox, order)).allow, ['a.test:443']);
    assert.deepEqual((await provider.setEgress(sandbox, { ...order, serial: 1, allow: [] })).serial, 2);
    assert.match(await printed(rig, sandbox, [...CURL, 'http://b.test/']), /403$/);
    await assert.rejects(
      provider.setEgress(sandbox, { ...order, serial: 3, incarnation: 2 }),
      isFault('other_incarnation'),
    );
    await assert.rejects(provider.setEgress(sandbox, { ...order, serial: 3, allow: ['a b'] }), isFault('invalid'));
    const open = provider.setEgress(sandbox, { incarnation: 1, serial: 3, mode: 'open', allow: [] });
    await assert.rejects(open, isFault('egress_not_offered'));
    await provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
    await assert.rejects(provider.setEgress(sandbox, { ...order, serial: 4 }), isFault('sandbox_ended', 'gone'));
    assert.equal((await provider.egress(sandbox)).serial, 2, 'it can be read after the end');
  });
}
