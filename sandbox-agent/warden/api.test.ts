/** The warden's doors: who may call, what a bad request hears, and that nothing changes by either. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { leaseKey, temporaryFolder, ticketOf } from '../testing/rig.ts';
import {
  authorization,
  callSocket,
  spawnWarden,
  specOf,
  type WardenProcess,
  wardenFor,
} from '../testing/warden-process.ts';

describe('the warden answers', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];
  const socket = (): string => join(warden.folder, 'w.sock');

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Parameters<typeof wardenFor>[0]);
    const made = await warden.create(120_000);
    assert.equal(made.status, 200, made.bytes.toString());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  test('its socket is for its owner only, health needs no ticket', async () => {
    assert.equal(statSync(socket()).mode & 0o777, 0o600);
    const health = await callSocket(socket(), 'GET', '/v1/health', {});
    const { boot_id, public_key } = warden.ready;
    assert.deepEqual(health.json, { status: 'ok', warm_ready: 0, launcher_ready: false, boot_id, public_key });
  });

  const soonUs = (ms: number): string => String((Date.now() + ms) * 1_000);
  const CALLERS: [why: string, status: number, header: () => string | undefined][] = [
    ['no ticket', 401, () => undefined],
    ['no scheme', 401, () => 'Bearer x'],
    ['no envelope', 401, () => 'Tally e30='],
    ['another key', 401, () => authorization(warden.ready.public_key, {}, leaseKey)],
    ['another machine', 403, () => authorization('somewhere else')],
    ['another sandbox', 403, () => authorization(warden.ready.public_key, { sandbox: 's1' })],
    ['another incarnation', 403, () => authorization(warden.ready.public_key, { incarnation: 2 })],
    ['another verb', 403, () => authorization(warden.ready.public_key, { verbs: ['renew'] })],
    ['expired', 401, () => authorization(warden.ready.public_key, { exp_us: soonUs(-1) })],
    ['longer than five minutes', 401, () => authorization(warden.ready.public_key, { exp_us: soonUs(400_000) })],
  ];
  for (const [why, status, header] of CALLERS) {
    test(`[I-33] a caller is refused: ${why}`, async () => {
      const given = header();
      const headers: Record<string, string> = given === undefined ? {} : { authorization: given };
      const answer = await callSocket(socket(), 'GET', '/v1/sandboxes/s0', headers);
      assert.equal(answer.status, status, answer.bytes.toString());
      assert.match(answer.headers['content-type'] ?? '', /problem\+json/);
      assert.ok(answer.json.code && answer.json.detail);
    });
  }

  test('[I-33] a ticket for one sandbox does not open the list of all, nor create another', async () => {
    const headers = { authorization: authorization(warden.ready.public_key, { sandbox: 's0' }) };
    assert.equal((await callSocket(socket(), 'GET', '/v1/sandboxes/s0', headers)).status, 200);
    assert.equal((await callSocket(socket(), 'GET', '/v1/sandboxes', headers)).status, 403);
    const other = { ...specOf({ sandbox: 's1' }), ticket: ticketOf(9_000, { sandbox: 's1' }) };
    assert.equal((await callSocket(socket(), 'POST', '/v1/sandboxes', headers, other)).status, 403);
  });

  const created = (changes: object): object => ({
    ...specOf({ sandbox: 's2', ...changes }),
    ticket: ticketOf(9_000, { sandbox: 's2' }),
  });
  const BAD: [what: string, method: string, path: string, body: () => object | Buffer | undefined, code: string][] = [
    ['an unknown route', 'GET', '/v1/nothing', () => undefined, 'unknown_route'],
    ['an unknown sandbox', 'GET', '/v1/sandboxes/s9', () => undefined, 'unknown_sandbox'],
    ['no JSON', 'POST', '/v1/sandboxes', () => Buffer.from('{'), 'invalid'],
    ['an unknown member', 'POST', '/v1/sandboxes', () => created({ privileged: true }), 'invalid'],
    ['a repeated member', 'POST', '/v1/sandboxes', () => Buffer.from('{"a":1,"a":2}'), 'invalid'],
    ['a path for a name', 'POST', '/v1/sandboxes', () => created({ sandbox: '../s2' }), 'invalid'],
    ['a fraction', 'POST', '/v1/sandboxes', () => Buffer.from('{"cpu_millis":1.5}'), 'invalid'],
    ['an unknown image', 'POST', '/v1/sandboxes', () => created({ image: 'x' }), 'unknown_image'],
    ['no disk quota', 'POST', '/v1/sandboxes', () => created({ disk_mib: 0 }), 'limit_out_of_range'],
    ['no pids limit', 'POST', '/v1/sandboxes', () => created({ pids_max: 0 }), 'limit_out_of_range'],
    ['more memory than there is', 'POST', '/v1/sandboxes', () => created({ memory_mib: 1 << 20 }), 'no_room'],
    [
      'a ticket for another',
      'POST',
      '/v1/sandboxes',
      () => ({ ...specOf({ sandbox: 's2' }), ticket: ticketOf(9_000) }),
      'ticket_other_sandbox',
    ],
    ['no ticket', 'POST', '/v1/sandboxes', () => specOf({ sandbox: 's2' }), 'invalid'],
    ['no command', 'POST', '/v1/sandboxes/s0/execs', () => ({ exec_id: 'e', argv: [] }), 'invalid'],
    ['a terminal', 'POST', '/v1/sandboxes/s0/execs', () => ({ exec_id: 'e', argv: ['x'], tty: true }), 'invalid'],
    ['no path', 'GET', '/v1/sandboxes/s0/files', () => undefined, 'invalid'],
    ['a wrong wait', 'GET', '/v1/events?wait_ms=-1', () => undefined, 'invalid'],
    [
      'a reason in capitals',
      'POST',
      '/v1/sandboxes/s0/finish',
      () => ({ incarnation: 1, reason: 'X', at_us: null }),
      'invalid',
    ],
    ['a body over a megabyte', 'POST', '/v1/sandboxes', () => Buffer.alloc(2 << 20, ' '), 'too_large'],
  ];
  for (const [what, method, path, body, code] of BAD) {
    test(`a bad request changes nothing: ${what}`, async () => {
      const answer = await warden.call(method, path, body());
      assert.equal(answer.json?.code, code, answer.bytes.toString());
      assert.ok(answer.status >= 400 && answer.status < 500);
      const { sandboxes } = (await warden.call('GET', '/v1/sandboxes')).json;
      assert.deepEqual(
        sandboxes.map((view: { sandbox: string }) => view.sandbox),
        ['s0'],
      );
    });
  }

  test('who is still sending when the refusal is clear hears it at the end', async () => {
    const headers = { authorization: authorization(warden.ready.public_key) };
    const sent = request({ socketPath: socket(), method: 'POST', path: '/v1/sandboxes', headers });
    const answered = once(sent, 'response');
    for (let mebibytes = 0; mebibytes < 3; mebibytes += 1) {
      sent.write(Buffer.alloc(1 << 20, ' '));
      await setTimeout(100);
    }
    sent.end();
    const [response] = (await answered) as [IncomingMessage];
    assert.equal(response.statusCode, 413);
    assert.equal(JSON.parse(Buffer.concat(await response.toArray()).toString()).code, 'too_large');
  });

  test('all violations are named at once', async () => {
    const { json } = await warden.call('POST', '/v1/sandboxes/s0/execs', { exec_id: '', argv: 'x', more: 1 });
    for (const member of ['/exec_id', '/argv', '/more']) assert.match(json.detail, new RegExp(member));
  });

  test('a second warden on the same folder does not start', async () => {
    const second = spawnWarden(warden.folder);
    let complaint = '';
    second.stderr?.on('data', (bytes) => {
      complaint += bytes;
    });
    assert.deepEqual(await once(second, 'exit'), [1, null]);
    assert.match(complaint, /already_running/);
    assert.equal((await warden.call('GET', '/v1/health')).status, 200);
  });
});

test('a warden without good options says which', async () => {
  const folder = temporaryFolder();
  const warden = spawnWarden(folder, ['--lease-key', Buffer.alloc(32).toString('base64')]);
  let complaint = '';
  warden.stderr?.on('data', (bytes) => {
    complaint += bytes;
  });
  assert.deepEqual(await once(warden, 'exit'), [1, null]);
  assert.match(complaint, /--lease-key/);
  rmSync(folder, { recursive: true });
});
