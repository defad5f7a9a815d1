/**
 * What every provider must do, as one suite of tests over the port.
 * Promise: an adapter that passes keeps the lease laws, runs a command once, and leaves files whole or absent.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type Envelope, RUN_TICKET_TYPE, type RunTicket, type SigningKey, signEnvelope } from '@tallystick/kernel';
import { egressContract } from './contract-egress.ts';
import { pathContract } from './contract-paths.ts';
import { portContract } from './contract-ports.ts';
import { secretContract } from './contract-secrets.ts';
import { snapshotContract } from './contract-snapshots.ts';
import { terminalContract } from './contract-terminal.ts';
import { watchContract } from './contract-watch.ts';
import { packTar, unpackTar } from './mock-tar.ts';
import { type Provider, type ProviderEvent, ProviderFault, type SandboxSpec } from './port.ts';

export interface ContractRig {
  provider: Provider;
  /** Mints the tickets that the provider honours. */
  leaseKey: SigningKey;
  nowMs(): number;
  /** How long a start may take before the first lease, which counts from ready, has run out on the wall clock; 0 when absent. */
  startMsMax?: number;
  /** Lets this much time pass: a virtual clock jumps, a real one is waited for. */
  pass(ms: number): Promise<void>;
}

const IMAGE = 'sandbox-base:v1.0.0';
const SHAPE = { image: IMAGE, cpu_millis: 1_000, memory_mib: 192, disk_mib: 32, pids_max: 64 };
const WAIT_MS = 10_000;
let names = 0;

const nextName = (): string => `sbx_contract${++names}`;

function specFor(sandbox: string, changes: Partial<SandboxSpec> = {}): SandboxSpec {
  return { sandbox, incarnation: 1, grace_ms: 60_000, ...SHAPE, ...changes };
}

/** `paidMs` from now on, both by the wall clock and as duration; the first may be given slack for the start. */
function ticketFor(
  rig: ContractRig,
  sandbox: string,
  changes: Partial<RunTicket> & { paidMs?: number } = {},
): Envelope {
  const { paidMs = 60_000, ...members } = changes;
  const ticket: RunTicket = {
    sandbox,
    incarnation: 1,
    seq: 1,
    minutes: 1,
    starts_at_us: String(Math.round(rig.nowMs() * 1_000)),
    paid_until_us: String(Math.round((rig.nowMs() + paidMs) * 1_000)),
    duration_ms: paidMs,
    price_micros: '1000',
    job: 'job_contract',
    receipt: 'rcp_contract',
    receipt_hash: '0'.repeat(64),
    final: false,
    ...members,
  };
  return signEnvelope(RUN_TICKET_TYPE, { ...ticket }, rig.leaseKey);
}

/** A first ticket whose duration is what is bought; by the wall clock it leaves room for the start. */
function firstTicket(rig: ContractRig, sandbox: string, paidMs = 60_000, changes: Partial<RunTicket> = {}): Envelope {
  const paidUntilMs = rig.nowMs() + paidMs + (rig.startMsMax ?? 0);
  return ticketFor(rig, sandbox, { paidMs, paid_until_us: String(Math.round(paidUntilMs * 1_000)), ...changes });
}

async function started(rig: ContractRig, paidMs?: number, changes: Partial<SandboxSpec> = {}): Promise<string> {
  const sandbox = nextName();
  await rig.provider.create(specFor(sandbox, changes), firstTicket(rig, sandbox, paidMs));
  return sandbox;
}

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };

async function run(rig: ContractRig, sandbox: string, execId: string, argv: string[], stdin?: string) {
  const { provider } = rig;
  const spec = { exec_id: execId, argv, ...(stdin === undefined ? {} : { stdin: Buffer.from(stdin) }) };
  await provider.startExec(sandbox, spec);
  const { end } = await provider.getExec(sandbox, execId, WAIT_MS);
  const { chunks } = await provider.output(sandbox, execId);
  const text = (stream: 1 | 2): string =>
    Buffer.concat(chunks.filter((chunk) => chunk.stream === stream).map((chunk) => chunk.bytes)).toString();
  return { end, out: text(1), err: text(2) };
}

async function eventsOf(rig: ContractRig, sandbox: string, until: string): Promise<ProviderEvent[]> {
  const seen: ProviderEvent[] = [];
  const giveUpAtMs = performance.now() + WAIT_MS;
  for (let after = 0; performance.now() < giveUpAtMs; ) {
    const page = await rig.provider.events(after, 1_000);
    after = page.next_after;
    seen.push(...page.events.filter((event) => event.sandbox === sandbox));
    if (seen.some((event) => event.event === until)) return seen;
  }
  throw new Error(`no event ${until} of ${sandbox}: ${seen.map((event) => event.event).join(' ')}`);
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

type Rigged = () => ContractRig;

function creating(rigged: Rigged): void {
  test('create is idempotent on sandbox and incarnation, and the first lease counts from ready', async () => {
    const rig = rigged();
    const sandbox = nextName();
    const ticket = ticketFor(rig, sandbox);
    const [first, again] = await Promise.all([
      rig.provider.create(specFor(sandbox), ticket),
      rig.provider.create(specFor(sandbox), ticket),
    ]);
    assert.deepEqual(again, first);
    assert.equal(first.state, 'running');
    const other = rig.provider.create(
      specFor(sandbox, { incarnation: 2 }),
      ticketFor(rig, sandbox, { incarnation: 2 }),
    );
    await assert.rejects(other, isFault('other_incarnation_live'));
    const view = await rig.provider.get(sandbox);
    assert.equal(view.lease.seq, 1);
    assert.ok(view.lease.remaining_ms > 50_000 && view.lease.remaining_ms <= 60_000, String(view.lease.remaining_ms));
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });

  const REFUSED: [code: string, spec: Partial<SandboxSpec>, ticket: Parameters<typeof ticketFor>[2]][] = [
    ['unknown_image', { image: 'sandbox-base:v9.9.9' }, {}],
    ['ticket_other_sandbox', {}, { sandbox: 'sbx_other' }],
    ['ticket_other_incarnation', {}, { incarnation: 7 }],
    ['ticket_already_over', {}, { paidMs: 100 }],
    ['ticket_malformed', {}, { duration_ms: 0 }],
  ];
  for (const [code, spec, ticket] of REFUSED) {
    test(`create is refused as ${code}, and nothing is left`, async () => {
      const rig = rigged();
      const sandbox = nextName();
      await assert.rejects(rig.provider.create(specFor(sandbox, spec), ticketFor(rig, sandbox, ticket)), isFault(code));
      await assert.rejects(rig.provider.get(sandbox), isFault('unknown_sandbox', 'gone'));
    });
  }

  test('a ticket of another key does not hold', async () => {
    const rig = rigged();
    const sandbox = nextName();
    const envelope = ticketFor(rig, sandbox);
    const signatures = envelope.signatures.map(({ keyid }) => ({ keyid, sig: Buffer.alloc(64).toString('base64') }));
    const forged = rig.provider.create(specFor(sandbox), { ...envelope, signatures });
    await assert.rejects(forged, isFault('ticket_bad_signature'));
  });
}

function leasing(rigged: Rigged): void {
  test('at the end of the lease it freezes, a newer ticket thaws it, an old one does not', async () => {
    const rig = rigged();
    const sandbox = await started(rig, 1_500);
    await rig.pass(1_600);
    await eventsOf(rig, sandbox, 'frozen');
    const frozen = await rig.provider.get(sandbox);
    assert.equal(frozen.state, 'frozen');
    assert.ok(frozen.running_ms <= 1_500, `ran ${frozen.running_ms} ms of 1500 paid`);
    await assert.rejects(rig.provider.startExec(sandbox, { exec_id: 'e', argv: ['echo'] }), isFault('frozen'));
    await assert.rejects(rig.provider.renew(sandbox, ticketFor(rig, sandbox)), isFault('ticket_old_seq'));
    const thawed = await rig.provider.renew(sandbox, ticketFor(rig, sandbox, { seq: 2 }));
    assert.equal(thawed.state, 'running');
    assert.equal(thawed.lease.seq, 2);
    assert.deepEqual((await run(rig, sandbox, 'e', ['echo', 'alive'])).out, 'alive\n');
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });

  test('without a ticket the grace ends it as lease_ended, and it is never run again', async () => {
    const rig = rigged();
    const sandbox = await started(rig, 1_500, { grace_ms: 200 });
    await rig.provider.startExec(sandbox, { exec_id: 'long', argv: ['sleep', '60'] });
    await rig.pass(2_000);
    const events = await eventsOf(rig, sandbox, 'ended');
    const names = events.map((event) => event.event);
    assert.deepEqual(names, ['started', 'exec_started', 'frozen', 'exec_ended', 'ended']);
    assert.equal(events.at(-1)?.reason, 'lease_ended');
    assert.ok(Number(events.at(-1)?.ran_ms) <= 1_500);
    assert.deepEqual((await rig.provider.getExec(sandbox, 'long')).end, { end: 'lease_ended' });
    const ended = isFault('sandbox_ended', 'gone');
    await assert.rejects(rig.provider.renew(sandbox, ticketFor(rig, sandbox, { seq: 2 })), ended);
    await assert.rejects(rig.provider.create(specFor(sandbox), ticketFor(rig, sandbox)), ended);
  });
}

function ending(rigged: Rigged): void {
  test('a final ticket has no grace', async () => {
    const rig = rigged();
    const sandbox = nextName();
    await rig.provider.create(specFor(sandbox), firstTicket(rig, sandbox, 1_500, { final: true }));
    await rig.pass(1_600);
    assert.equal((await eventsOf(rig, sandbox, 'ended')).at(-1)?.reason, 'lease_ended');
  });

  test('an announced end takes no further ticket and ends at its moment with its reason', async () => {
    const rig = rigged();
    const sandbox = await started(rig);
    const atUs = Math.round((rig.nowMs() + 1_000) * 1_000);
    const order = { incarnation: 1, reason: 'job_cap', at_us: atUs };
    await rig.provider.startExec(sandbox, { exec_id: 'long', argv: ['sleep', '60'] });
    await rig.provider.finish(sandbox, order);
    await rig.provider.finish(sandbox, { ...order, reason: 'idle', at_us: atUs + 5_000_000 });
    await assert.rejects(rig.provider.renew(sandbox, ticketFor(rig, sandbox, { seq: 2 })), isFault('finishing'));
    await assert.rejects(rig.provider.finish(sandbox, { ...order, incarnation: 2 }), isFault('other_incarnation'));
    await rig.pass(1_100);
    const last = (await eventsOf(rig, sandbox, 'ended')).at(-1);
    assert.equal(last?.reason, 'job_cap');
    assert.deepEqual((await rig.provider.getExec(sandbox, 'long')).end, { end: 'lease_ended' });
    assert.ok(Number(last?.ran_ms) <= 1_100);
    assert.equal((await rig.provider.finish(sandbox, order)).state, 'ended');
  });

  test('an end at once is over when it answers', async () => {
    const rig = rigged();
    const sandbox = await started(rig);
    await rig.provider.startExec(sandbox, { exec_id: 'long', argv: ['sleep', '60'] });
    const view = await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
    assert.deepEqual([view.state, view.ended?.reason], ['ended', 'stopped_by_owner']);
    assert.deepEqual((await rig.provider.getExec(sandbox, 'long')).end, { end: 'killed' });
    const next = await rig.provider.create(
      specFor(sandbox, { incarnation: 2 }),
      ticketFor(rig, sandbox, { incarnation: 2 }),
    );
    assert.equal(next.incarnation, 2);
    await rig.provider.finish(sandbox, { incarnation: 2, reason: 'stopped_by_owner', at_us: null });
  });

  test('early renewals add up', async () => {
    const rig = rigged();
    const sandbox = await started(rig, 10_000);
    const paid = { paidMs: 10_000, paid_until_us: String(Math.round((rig.nowMs() + 60_000) * 1_000)) };
    for (const seq of [2, 3]) await rig.provider.renew(sandbox, ticketFor(rig, sandbox, { seq, ...paid }));
    const { remaining_ms: remaining } = (await rig.provider.get(sandbox)).lease;
    assert.ok(remaining > 20_000 && remaining <= 30_000, `three times 10 s, less the start: ${remaining}`);
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });
}

function running(rigged: Rigged, sandbox: () => string): void {
  test('a command ends with its exit code and both streams', async () => {
    const rig = rigged();
    const line = 'echo out; echo err >&2; exit 7';
    const result = await run(rig, sandbox(), 'code', ['sh', '-c', line]);
    assert.deepEqual(result, { end: { end: 'exited', code: 7 }, out: 'out\n', err: 'err\n' });
  });

  test('stdin reaches the command, at once or later', async () => {
    const rig = rigged();
    assert.equal((await run(rig, sandbox(), 'in', ['cat'], 'through')).out, 'through');
    await rig.provider.startExec(sandbox(), { exec_id: 'later', argv: ['cat'], stdin_open: true });
    await rig.provider.writeStdin(sandbox(), 'later', Buffer.from('a'), false);
    await rig.provider.writeStdin(sandbox(), 'later', Buffer.from('b'), true);
    assert.deepEqual((await rig.provider.getExec(sandbox(), 'later', WAIT_MS)).end, { end: 'exited', code: 0 });
    const { chunks } = await rig.provider.output(sandbox(), 'later');
    assert.equal(Buffer.concat(chunks.map((chunk) => chunk.bytes)).toString(), 'ab');
  });

  test('the same exec_id starts nothing twice', async () => {
    const rig = rigged();
    const spec = { exec_id: 'once', argv: ['echo', 'x'] };
    const first = await rig.provider.startExec(sandbox(), spec);
    await rig.provider.getExec(sandbox(), 'once', WAIT_MS);
    const again = await rig.provider.startExec(sandbox(), { ...spec, argv: ['echo', 'y'] });
    assert.equal(again.started_at_us, first.started_at_us);
    const page = await rig.provider.output(sandbox(), 'once');
    assert.equal(Buffer.concat(page.chunks.map((chunk) => chunk.bytes)).toString(), 'x\n');
    assert.ok(page.at_end);
    const rest = await rig.provider.output(sandbox(), 'once', { after: 1 });
    assert.equal(rest.chunks[0]?.bytes.toString(), '\n');
  });

  test('a signal, a time limit and a missing program are told apart', async () => {
    const rig = rigged();
    await rig.provider.startExec(sandbox(), { exec_id: 'sig', argv: ['sleep', '60'] });
    await rig.provider.signalExec(sandbox(), 'sig', 'SIGTERM');
    const signaled = await rig.provider.getExec(sandbox(), 'sig', WAIT_MS);
    assert.deepEqual(signaled.end, { end: 'signaled', signal: 'SIGTERM' });
    await rig.provider.startExec(sandbox(), { exec_id: 'slow', argv: ['sleep', '60'], timeout_ms: 50 });
    await rig.pass(60);
    assert.deepEqual((await rig.provider.getExec(sandbox(), 'slow', WAIT_MS)).end, { end: 'timeout' });
    const missing = await run(rig, sandbox(), 'none', ['/no/such']);
    assert.deepEqual(missing.end, { end: 'not_started', code: 'ENOENT' });
    await assert.rejects(rig.provider.getExec(sandbox(), 'never'), isFault('unknown_exec', 'gone'));
  });
}

function moving(rigged: Rigged, sandbox: () => string): void {
  test('a file comes back as it went, also a part of it, and is listed', async () => {
    const { provider } = rigged();
    const bytes = Buffer.alloc(700_000, '0123456789');
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const put = await provider.putFile(sandbox(), 'up/large', bytes, sha256);
    assert.deepEqual([put.bytes, put.sha256], [bytes.length, sha256]);
    assert.ok((await collect(await provider.getFile(sandbox(), 'up/large'))).equals(bytes));
    const part = await collect(await provider.getFile(sandbox(), 'up/large', { start: 3, end: 5 }));
    assert.equal(part.toString(), '345');
    const { entries } = await provider.listFiles(sandbox(), 'up');
    assert.deepEqual(
      entries.map(({ name, type, bytes }) => [name, type, bytes]),
      [['large', 'file', bytes.length]],
    );
  });

  test('other bytes than announced, or more than the quota, leave no file', async () => {
    const { provider } = rigged();
    const wrong = provider.putFile(sandbox(), 'half/a', Buffer.from('a'), '0'.repeat(64));
    await assert.rejects(wrong, isFault('checksum_mismatch'));
    await assert.rejects(provider.putFile(sandbox(), 'half/b', Buffer.alloc(40 << 20)), isFault('quota_full'));
    const missing = isFault('no_such_file', 'gone');
    for (const path of ['half/a', 'half/b']) await assert.rejects(provider.getFile(sandbox(), path), missing);
  });

  test('a tree goes in and comes out', async () => {
    const { provider } = rigged();
    const files: [string, Buffer][] = [
      ['a.txt', Buffer.from('first')],
      ['deep/b.bin', Buffer.alloc(3_000, 7)],
    ];
    await provider.putTree(sandbox(), 'tree', packTar(files));
    assert.equal(String(await collect(await provider.getFile(sandbox(), 'tree/a.txt'))), 'first');
    const back = unpackTar(await collect(await provider.getTree(sandbox(), 'tree')));
    assert.deepEqual(
      back.sort(([a], [b]) => (a < b ? -1 : 1)),
      files.map(([name, bytes]) => [`./${name}`, bytes]),
    );
  });
}

/** Call inside a `describe`; `rigged` and `sandbox` are asked when the tests run. */
export function providerContract(rigged: Rigged): void {
  let shared: Promise<string> | undefined;
  let name = '';
  test('it says what it is, and a sandbox starts', async () => {
    const { provider } = rigged();
    const descriptor = await provider.descriptor();
    assert.ok(descriptor.images.includes(IMAGE));
    assert.ok(['freeze', 'kill'].includes(descriptor.enforcement));
    assert.equal((await provider.attestation()).mode, 'standard');
    shared = started(rigged(), 300_000);
    name = await shared;
    assert.ok((await provider.list()).some((view) => view.sandbox === name));
  });
  running(rigged, () => name);
  moving(rigged, () => name);
  pathContract(rigged, () => name);
  watchContract(rigged, () => name, started);
  creating(rigged);
  leasing(rigged);
  ending(rigged);
  portContract(rigged, started);
  egressContract(rigged, started);
  secretContract(rigged, started);
  snapshotContract(rigged, async (rig, changes, paidMs) => {
    const sandbox = nextName();
    return rig.provider.create(specFor(sandbox, changes), ticketFor(rig, sandbox, paidMs ? { paidMs } : {}));
  });
  terminalContract(rigged, () => name);
  test('the last one ends', async () => {
    await rigged().provider.finish(name, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });
}
