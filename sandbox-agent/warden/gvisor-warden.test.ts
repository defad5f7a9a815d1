/** A warden at level gvisor as a process: its lease, its pool, its death; and what it refuses to start as. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { reasonAgainst } from '../testing/levels.ts';
import { isGone, slackTicket, temporaryFolder, ticketOf, until } from '../testing/rig.ts';
import { spawnWarden, type WardenProcess, wardenFor } from '../testing/warden-process.ts';

const GVISOR = ['--isolation', 'gvisor'];
const withoutGvisor = await reasonAgainst('gvisor');

const pidsOf = (tree: string): number[] =>
  readFileSync(join(tree, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number).sort();

async function say(warden: WardenProcess, execId: string, line: string): Promise<string> {
  await warden.call('POST', '/v1/sandboxes/s0/execs', { exec_id: execId, argv: ['sh', '-c', line] });
  await warden.call('GET', `/v1/sandboxes/s0/execs/${execId}?wait_ms=20000`);
  const { json } = await warden.call('GET', `/v1/sandboxes/s0/execs/${execId}/output?after=0`);
  return json.chunks.map((one: { bytes_base64: string }) => Buffer.from(one.bytes_base64, 'base64')).join('');
}

/** What the machine says of terminals it keeps to. */
async function assertTerminals(warden: WardenProcess): Promise<void> {
  const { terminals } = (await warden.call('GET', '/v1/descriptor')).json;
  const asked = { exec_id: 't', argv: ['cat'], tty: { columns: 80, rows: 24 } };
  const { status, json } = await warden.call('POST', '/v1/sandboxes/s0/execs', asked);
  if (terminals) return assert.equal(status, 200);
  assert.deepEqual([status, json.code, json.cap, json.asked, json.available], [422, 'no_terminals', 'terminals', 1, 0]);
}

describe('a warden at level gvisor', { skip: withoutGvisor ?? false }, () => {
  test('[I-04] the end of the money freezes the sentry with all below it; a newer ticket goes on with the same', async (context) => {
    const warden = await wardenFor(context, undefined, GVISOR);
    const { json } = await warden.call('GET', '/v1/descriptor');
    assert.equal(json.isolation, 'gvisor');
    const created = await warden.create(2_000, { memory_mib: 64 }, slackTicket(2_000));
    assert.equal(created.status, 200, created.bytes.toString());
    assert.equal(created.json.isolation, 'gvisor');
    const { tree } = warden;
    assert.equal(
      await say(warden, 'before', 'sleep 60 > /dev/null 2>&1 & echo $! > ~/pid; cat ~/pid'),
      await say(warden, 'again', 'cat ~/pid'),
    );
    await until(() => warden.has('frozen'));
    const pids = pidsOf(tree);
    const renewed = await warden.call('POST', '/v1/sandboxes/s0/renew', { ticket: ticketOf(60_000, { seq: 2 }) });
    assert.equal(renewed.status, 200, renewed.bytes.toString());
    assert.deepEqual(pidsOf(tree), pids);
    assert.equal(await say(warden, 'after', 'kill -0 $(cat ~/pid) && echo alive'), 'alive\n');
  });

  test('a create is served from the pool here, too', async (context) => {
    const warden = await wardenFor(context, undefined, [...GVISOR, '--warm', '1', '--warm-disk-mib', '32']);
    await until(async () => (await warden.call('GET', '/v1/health')).json.warm_ready === 1);
    const startedAtMs = performance.now();
    assert.equal((await warden.create(60_000)).status, 200);
    context.diagnostic(`from the pool in ${(performance.now() - startedAtMs).toFixed(0)} ms`);
    assert.equal(await say(warden, 'x', 'echo here'), 'here\n');
    await assertTerminals(warden);
  });

  test('the warden is killed: the sentry and everything below it dies with it', async (context) => {
    const folder = temporaryFolder();
    const warden = await wardenFor(context, folder, GVISOR);
    assert.equal((await warden.create(60_000)).status, 200);
    const { tree } = warden;
    const pids = pidsOf(tree);
    warden.process.kill('SIGKILL');
    await once(warden.process, 'exit');
    await until(() => !existsSync(tree) && pids.every(isGone));
    await until(() => isGone(warden.reaperPid));
    assert.doesNotMatch(readFileSync('/proc/mounts', 'utf8'), new RegExp(folder));
  });
});

test('a warden that is asked for an unknown level does not start, and names what there is', async () => {
  const folder = temporaryFolder();
  const warden = spawnWarden(folder, ['--isolation', 'vm']);
  let said = '';
  warden.stderr?.on('data', (bytes) => {
    said += bytes;
  });
  const [code] = await once(warden, 'close');
  assert.equal(code, 1);
  assert.match(said, /bad_option.*auto, gvisor, ns, ns-lite/s);
  rmSync(folder, { recursive: true, force: true });
});
