/**
 * The product's claim with real processes: no second runs that was not paid, whoever dies, hangs, replays or lies.
 * Every warden here is a process of its own; a ticker inside says when it last ran.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { isGone, slackTicket, temporaryFolder, ticketOf, until } from '../testing/rig.ts';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';

/** A start takes a tenth of a second, and much more on a loaded machine; a lease that ends during it would test nothing. */
const PAID_MS = 2_000;
/** Prints the wall time without pause, so that its last line says when it last ran. */
const TICKER = [
  'perl',
  '-MTime::HiRes=time,sleep',
  '-e',
  '$| = 1; while (1) { printf qq(%.1f\\n), time * 1000; sleep 0.002 }',
];

interface Started {
  warden: WardenProcess;
  paidUntilMs: number;
  tree: string;
}

async function ticking(context: TestContext, graceMs: number, paidMs = PAID_MS): Promise<Started> {
  const warden = await wardenFor(context);
  const made = await warden.create(paidMs, { grace_ms: graceMs }, slackTicket(paidMs));
  assert.equal(made.status, 200, made.bytes.toString());
  const paidUntilMs = Number(made.json.started_at_us) / 1_000 + paidMs;
  const { tree } = warden;
  await warden.call('POST', '/v1/sandboxes/s0/execs', { exec_id: 'ticker', argv: TICKER });
  await until(async () => (await ticks(warden)).length > 0);
  return { warden, paidUntilMs, tree };
}

/** All ticks so far, as the warden has them on disk. */
async function ticks(warden: WardenProcess): Promise<number[]> {
  let text = '';
  for (let after = 0; ; ) {
    const { json } = await warden.call('GET', `/v1/sandboxes/s0/execs/ticker/output?after=${after}`);
    for (const { bytes_base64 } of json.chunks) text += Buffer.from(bytes_base64, 'base64').toString();
    if (json.next_cursor === after) return text.split('\n').slice(0, -1).map(Number);
    after = json.next_cursor;
  }
}

const isFrozen = (tree: string): boolean => /frozen 1/.test(readFileSync(join(tree, 'cgroup.events'), 'utf8'));
const pidsOf = (tree: string): string => readFileSync(join(tree, 'cgroup.procs'), 'utf8');
const cpuUsOf = (tree: string): number =>
  Number(/usage_usec (\d+)/.exec(readFileSync(join(tree, 'cpu.stat'), 'utf8'))?.[1]);
const renew = (warden: WardenProcess, seq: number, paidMs: number) =>
  warden.call('POST', '/v1/sandboxes/s0/renew', { ticket: ticketOf(paidMs, { seq }) });

/** The freeze comes a quarter of a second early, and a ticker on a busy machine is late. */
const UNUSED_MS_MAX = 1_500;

/** What ran last ran before the paid end, and it did run until shortly before. */
function assertPaid(context: TestContext, lastTickMs: number, paidUntilMs: number, unusedMsMax = UNUSED_MS_MAX): void {
  const unusedMs = paidUntilMs - lastTickMs;
  context.diagnostic(`last tick ${unusedMs.toFixed(0)} ms before the paid end`);
  assert.ok(unusedMs >= 0, `ran ${-unusedMs} ms unpaid`);
  assert.ok(unusedMs < unusedMsMax, `stopped ${unusedMs} ms early`);
}

/** After a thaw the ticks that stood in pipes have come too: none lies between the paid end and the thaw. */
function assertGap(context: TestContext, all: number[], paidUntilMs: number, thawedFromMs: number): void {
  const before = all.filter((tick) => tick < thawedFromMs);
  assertPaid(context, before.at(-1) as number, paidUntilMs);
  assert.ok(all.length > before.length, 'ticks again');
}

describe('leases', { concurrency: 3 }, () => {
  test('[I-01] [I-03] control plane silent: frozen before the paid end, destroyed after the grace', async (context) => {
    const { warden, paidUntilMs, tree } = await ticking(context, 400);
    await until(() => warden.has('frozen'));
    const cpuUs = cpuUsOf(tree);
    assert.ok(Date.now() < paidUntilMs, 'frozen in time');
    await until(() => warden.has('ended'));
    const ended = (await warden.events()).at(-1);
    assert.equal(ended?.['reason'], 'lease_ended');
    assert.ok(Number(ended?.['cpu_us']) >= cpuUs, 'what was used stays counted');
    assert.ok(Number(ended?.['cpu_us']) - cpuUs < 20_000, 'no cpu after the freeze but for the end itself');
    assert.ok(Number(ended?.['ran_ms']) <= PAID_MS);
    assertPaid(context, (await ticks(warden)).at(-1) as number, paidUntilMs);
    assert.ok(!existsSync(tree));
  });

  test('a newer ticket in the grace time thaws the same processes within milliseconds', async (context) => {
    const { warden, paidUntilMs, tree } = await ticking(context, 20_000);
    const pids = pidsOf(tree);
    await until(() => isFrozen(tree));
    await until(() => Date.now() > paidUntilMs + 100);
    const thawedFromMs = Date.now();
    assert.equal((await renew(warden, 2, 3_000)).json.state, 'running');
    context.diagnostic(`thawed by a renewal in ${Date.now() - thawedFromMs} ms`);
    await until(async () => ((await ticks(warden)).at(-1) as number) > thawedFromMs);
    assert.equal(pidsOf(tree), pids);
    assertGap(context, await ticks(warden), paidUntilMs, thawedFromMs);
  });

  test('[I-04] an old ticket, replayed, adds no time, running or frozen', async (context) => {
    const { warden, paidUntilMs, tree } = await ticking(context, 400);
    assert.equal((await renew(warden, 1, 60_000)).json.code, 'ticket_old_seq');
    await until(() => isFrozen(tree));
    assert.equal((await renew(warden, 1, 60_000)).json.code, 'ticket_old_seq');
    await until(() => warden.has('ended'));
    assertPaid(context, (await ticks(warden)).at(-1) as number, paidUntilMs);
  });
});

describe('the warden hangs', { concurrency: 2 }, () => {
  test('[I-01] [I-03] the reaper freezes in time and kills after the grace', async (context) => {
    const { warden, paidUntilMs, tree } = await ticking(context, 600);
    warden.process.kill('SIGSTOP');
    await until(() => isFrozen(tree));
    assert.ok(Date.now() < paidUntilMs, 'frozen in time');
    const frozenAtMs = Date.now();
    // The kernel sums up cpu time a little later than it is used.
    await until(() => Date.now() > frozenAtMs + 100);
    const cpuUs = cpuUsOf(tree);
    await until(() => Date.now() > frozenAtMs + 250);
    assert.notEqual(pidsOf(tree), '');
    assert.equal(cpuUsOf(tree), cpuUs, 'it stands still');
    await until(() => !existsSync(tree) || pidsOf(tree) === '');
    warden.process.kill('SIGCONT');
    await until(() => warden.has('ended'));
    const ended = (await warden.events()).at(-1);
    assert.equal(ended?.['reason'], 'lease_ended');
    assert.ok(Number(ended?.['ran_ms']) <= PAID_MS, `ran ${ended?.['ran_ms']} of ${PAID_MS}`);
  });

  test('it returns inside the grace: a newer ticket thaws what the reaper froze', async (context) => {
    const { warden, paidUntilMs, tree } = await ticking(context, 20_000);
    warden.process.kill('SIGSTOP');
    await until(() => isFrozen(tree));
    assert.ok(Date.now() < paidUntilMs, 'frozen in time');
    await until(() => Date.now() > paidUntilMs + 100);
    const thawedFromMs = Date.now();
    warden.process.kill('SIGCONT');
    assert.equal((await renew(warden, 2, 3_000)).json.state, 'running');
    await until(async () => ((await ticks(warden)).at(-1) as number) > thawedFromMs);
    assertGap(context, await ticks(warden), paidUntilMs, thawedFromMs);
  });
});

describe('the warden dies', { concurrency: 2 }, () => {
  test('[I-03] its sandboxes die at once, the reaper cleans up, and the next warden takes no ticket of that life', async (context) => {
    const { warden, tree } = await ticking(context, 400, 60_000);
    warden.process.kill('SIGKILL');
    context.diagnostic(`tree gone ${(await until(() => !existsSync(tree))).toFixed(0)} ms after the kill`);
    await until(() => isGone(warden.reaperPid));
    assert.deepEqual(readdirSync(join(warden.folder, 'state', 'sandboxes')), []);
    const next = await wardenFor(context, warden.folder);
    assert.notEqual(next.ready.boot_id, warden.ready.boot_id);
    assert.equal(next.ready.public_key, warden.ready.public_key);
    const again = await next.create(60_000);
    assert.deepEqual([again.status, again.json.code], [410, 'incarnation_used']);
    const second = await next.create(60_000, { incarnation: 2 }, ticketOf(60_000, { incarnation: 2 }));
    assert.equal(second.status, 200);
  });

  test('while the tree is frozen: the frozen tree dies too', async (context) => {
    const { warden, tree } = await ticking(context, 60_000);
    await until(() => isFrozen(tree));
    warden.process.kill('SIGKILL');
    await until(() => !existsSync(tree));
    await until(() => isGone(warden.reaperPid));
  });

  test('with its reaper at the same moment: the next start cleans what is left', async (context) => {
    const { warden, tree } = await ticking(context, 400, 60_000);
    process.kill(warden.reaperPid, 'SIGKILL');
    warden.process.kill('SIGKILL');
    const next = await wardenFor(context, warden.folder);
    assert.ok(!existsSync(tree));
    assert.deepEqual((await next.call('GET', '/v1/sandboxes')).json, { sandboxes: [] });
  });

  test('politely: everything ends as stopped and nothing is left but the word of it, which the next start tells once', async (context) => {
    const folder = temporaryFolder();
    const warden = await wardenFor(context, folder);
    await warden.create(60_000);
    const { tree } = warden;
    warden.process.kill('SIGTERM');
    await until(() => isGone(warden.process.pid as number));
    assert.ok(!existsSync(tree));
    const kept = readdirSync(join(folder, 'state')).map((name) => name.replace(/^events-.*/, 'events'));
    assert.deepEqual(kept.sort(), ['departed.json', 'events', 'snapshots', 'used-names', 'warden.key']);
    const [file = ''] = readdirSync(join(folder, 'state')).filter((name) => name.startsWith('events-'));
    const lines = readFileSync(join(folder, 'state', file), 'utf8')
      .trim()
      .split('\n');
    const { seq: _, ...end } = JSON.parse(lines.find((line) => line.includes('"event":"ended"'))!);
    assert.equal(end.reason, 'stopped');
    assert.ok(end.ran_ms > 0, 'it did not run');
    const next = await wardenFor(context, folder);
    assert.deepEqual(await next.events(), [{ seq: 1, ...end }]);
    const view = (await next.call('GET', '/v1/sandboxes/s0')).json;
    assert.deepEqual([view.state, view.running_ms], ['ended', end.ran_ms]);
    assert.deepEqual((await next.call('GET', '/v1/sandboxes')).json, { sandboxes: [view] });
    assert.equal((await next.create(60_000)).json.code, 'incarnation_used');
    next.process.kill('SIGTERM');
    await until(() => isGone(next.process.pid as number));
    assert.deepEqual(await (await wardenFor(context, folder)).events(), []);
  });
});

describe('the reaper', { concurrency: 2 }, () => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    test(`gets ${signal}: the warden starts another`, async (context) => {
      const warden = await wardenFor(context);
      await until(async () => (await warden.call('GET', '/v1/health')).status === 200);
      process.kill(warden.reaperPid, signal);
      await until(() => warden.has('reaper_restarted'));
      await until(() => isGone(warden.reaperPid));
    });
  }
});
