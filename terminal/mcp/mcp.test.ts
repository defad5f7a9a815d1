/** `tally mcp` as an agent meets it: the official client, a process of its own, a platform that keeps the contract. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import { type McpSession, openMcp, type Structured } from '../testing/mcp.ts';
import { openTerminal, type TestTerminal } from '../testing/terminal.ts';
import { FILE_BYTES_MAX } from './file-tools.ts';
import { platformTools } from './platform-tools.ts';
import { problemOf } from './problem.ts';
import { allTools } from './server.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const id = (prefix: string, count: number): string => `${prefix}_${String(count).padStart(32, '0')}`;

interface Scene {
  fake: FakePlatform;
  terminal: TestTerminal;
  mcp: McpSession;
  job: string;
  sandbox: string;
}

describe('tally mcp', () => {
  const scene = {} as Scene;

  before(async () => {
    scene.fake = await startFakePlatform();
    scene.terminal = await openTerminal(scene.fake.url);
    scene.terminal.env['TALLY_API_KEY'] = scene.fake.addKey();
    scene.mcp = await openMcp(scene.terminal.env);
    scene.job = String((await scene.mcp.call('job_create', { max_total_spend_micros: 1_000_000 }))['id']);
    scene.sandbox = String((await scene.mcp.call('sandbox_create', { job_id: scene.job }))['id']);
  });

  after(async () => {
    await scene.mcp?.[Symbol.asyncDispose]();
    await scene.terminal?.[Symbol.asyncDispose]();
    await scene.fake?.[Symbol.asyncDispose]();
  });

  test('shows every operation of the contracts, and what it adds, with schemas and hints', async () => {
    const { tools } = await scene.mcp.client.listTools();
    const own = ['sandbox_exec_input', 'sandbox_upload', 'sandbox_download', 'receipts_export', 'receipts_verify'];
    assert.deepEqual(
      tools.map(({ name }) => name),
      [...platformTools().map(({ name }) => name), ...own],
    );
    for (const { name, description, inputSchema, outputSchema, annotations } of tools) {
      assert.ok(description && outputSchema, name);
      // the programming interfaces of models refuse tools whose input is a choice of schemas
      for (const word of ['oneOf', 'anyOf', 'allOf', '$ref']) assert.ok(!(word in inputSchema), `${name}: ${word}`);
      const isKeyed = 'idempotency_key' in (inputSchema.properties ?? {});
      assert.equal(
        isKeyed,
        annotations?.readOnlyHint === false && !['receipts_export', 'sandbox_exec_input'].includes(name),
        name,
      );
    }
    const hintsOf = (name: string) => tools.find((tool) => tool.name === name)?.annotations;
    assert.deepEqual(hintsOf('job_get'), { readOnlyHint: true, destructiveHint: false, idempotentHint: true });
    assert.deepEqual(hintsOf('job_create'), { readOnlyHint: false, destructiveHint: false, idempotentHint: false });
    assert.equal(hintsOf('sandbox_destroy')?.destructiveHint, true);
    assert.match(scene.mcp.client.getInstructions() ?? '', /job_create/);
  });

  test('an agent brings money, works on a machine and ends its job', async () => {
    const { mcp, fake } = scene;
    await mcp.call('billing_deposit', { amount_micros: 5_000_000 });
    assert.equal((await mcp.call('billing_balance'))['balance_micros'], 5_000_000);
    const job = await mcp.call('job_create', { max_total_spend_micros: 9_000_000, label: 'audit' });
    assert.deepEqual(job['clamps'], [
      { field: 'max_total_spend_micros', requested: 9_000_000, effective: 5_000_000, rule: 'user_policy' },
    ]);
    const sandbox = await mcp.call('sandbox_create', { job_id: job['id'], quantum_ms: 10_000 });
    assert.deepEqual([sandbox['status'], sandbox['quantum_ms']], ['running', 10_000]);
    const exec = await mcp.call('sandbox_exec', { id: sandbox['id'], argv: ['echo', 'hello'], exec_id: id('exec', 1) });
    assert.deepEqual([exec['end'], exec['exit_code'], exec['stdout']], ['exited', 0, 'hello\n']);
    const again = await mcp.call('sandbox_exec_get', { id: sandbox['id'], exec_id: exec['exec_id'] });
    assert.equal(again['stdout'], 'hello\n');
    const listed = (await mcp.call('sandbox_list', { job_id: job['id'] }))['sandboxes'] as Structured[];
    assert.deepEqual(
      listed.map((one) => one['id']),
      [sandbox['id']],
    );
    assert.equal((await mcp.call('sandbox_destroy', { id: sandbox['id'] }))['status'], 'ended');
    assert.equal((await mcp.call('job_stop', { id: job['id'] }))['stop_reason'], 'stopped_by_owner');
    assert.equal(new Set(fake.changes.map((change) => change.split(' ')[0])).size, fake.changes.length, 'fresh keys');
  });

  test('an answer says the same as text, as a value and on the command line', async () => {
    const { mcp, terminal, job } = scene;
    const answer = await mcp.ask('job_get', { id: job });
    const [content] = answer.content;
    assert.deepEqual(JSON.parse(content?.type === 'text' ? content.text : ''), answer.structuredContent);
    assert.deepEqual(JSON.parse((await terminal.run('job', 'get', job, '--json')).out), answer.structuredContent);
  });

  test('files travel as text or base64, byte by byte', async () => {
    const { mcp, fake, sandbox } = scene;
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    const told = await mcp.call('sandbox_upload', { id: sandbox, path: 'a.txt', content: '\uFEFFhé\n' });
    assert.deepEqual([told['path'], told['bytes']], ['a.txt', 7]);
    await mcp.call('sandbox_upload', {
      id: sandbox,
      path: 'b.bin',
      content: bytes.toString('base64'),
      encoding: 'base64',
    });
    assert.deepEqual(fake.files.get('b.bin'), bytes);
    const read = (path: string, more = {}) => mcp.call('sandbox_download', { id: sandbox, path, ...more });
    const text = await read('a.txt');
    assert.deepEqual([text['encoding'], text['content'], text['sha256']], ['text', '\uFEFFhé\n', told['sha256']]);
    const binary = await read('b.bin');
    assert.deepEqual([binary['encoding'], binary['content'], binary['bytes']], ['base64', bytes.toString('base64'), 5]);
    assert.equal(
      (await read('a.txt', { encoding: 'base64' }))['content'],
      Buffer.from('\uFEFFhé\n').toString('base64'),
    );
    const { entries } = await mcp.call('sandbox_files', { id: sandbox });
    assert.deepEqual((entries as Structured[]).map(({ name }) => name).sort(), ['a.txt', 'b.bin']);
    fake.files.set('full.bin', Buffer.alloc(FILE_BYTES_MAX, 'x'));
    assert.equal((await read('full.bin'))['bytes'], FILE_BYTES_MAX);
  });

  test('[I-15] a call is repeated under its own key, and under the key of its first try', async () => {
    const { mcp, fake, job } = scene;
    const from = fake.changes.length;
    fake.unavailable = 2;
    const first = await mcp.ask('job_extend', { id: job, add_spend_micros: 5 });
    const key = String(first._meta?.['tallystick/idempotency_key']);
    await mcp.call('job_extend', { id: job, add_spend_micros: 5, idempotency_key: 'mine' });
    await mcp.call('job_extend', { id: job, add_spend_micros: 5, idempotency_key: null });
    const keys = fake.changes.slice(from).map((change) => change.replace(' extendJob', ''));
    assert.equal(keys.length, 3);
    assert.deepEqual(keys.slice(0, 2), [key, 'mine']);
    assert.match(keys[2]!, /^[0-9a-f-]{36}$/);
  });

  const refusals: [name: string, tool: string, input: Structured, code: string, about: Structured][] = [
    ['a rule of the platform', 'job_get', { id: id('job', 999) }, 'not_found', { status: 404 }],
    [
      'a rule of the contract, with a pointer',
      'job_create',
      { max_total_spend_micros: -1, label: 'x'.repeat(200) },
      'invalid_request',
      { pointers: ['/label', '/max_total_spend_micros'] },
    ],
    ['a field that must be there', 'sandbox_get', {}, 'invalid_request', { pointers: ['/id'] }],
    [
      'fields that do not exist or have another type',
      'sandbox_get',
      { id: 5, 'a/b': 1 },
      'invalid_request',
      { pointers: ['/a~1b', '/id'] },
    ],
    ['a key of spaces', 'job_stop', { id: id('job', 1), idempotency_key: 'a b' }, 'idempotency_key_missing', {}],
    ['a key that is no text', 'job_stop', { id: id('job', 1), idempotency_key: 5 }, 'idempotency_key_missing', {}],
    ['a key where nothing changes', 'billing_balance', { idempotency_key: 'k' }, 'invalid_request', {}],
    [
      'an upload that says everything wrong',
      'sandbox_upload',
      { id: 'sbx_1', content: 5, 'mo~de': 1 },
      'invalid_request',
      { pointers: ['', '/content', '/id', '/mo~0de'] },
    ],
    [
      'base64 that is none',
      'sandbox_upload',
      { id: id('sbx', 1), path: 'a', content: 'a-b_', encoding: 'base64' },
      'invalid_request',
      { pointers: ['/content'] },
    ],
    [
      'an upload beyond the limit',
      'sandbox_upload',
      { id: id('sbx', 1), path: 'a', content: 'x'.repeat(FILE_BYTES_MAX + 1) },
      'body_too_large',
      { cap_bytes: FILE_BYTES_MAX, asked_bytes: FILE_BYTES_MAX + 1 },
    ],
    [
      'a file that is not there',
      'sandbox_download',
      { id: id('sbx', 1), path: 'none' },
      'file_not_found',
      { cause: 'no_such_file' },
    ],
    ['an export that is not there', 'receipts_verify', { path: 'missing.jsonl' }, 'enoent', {}],
  ];
  for (const [name, tool, input, code, { pointers, ...facts }] of refusals)
    test(`refuses as problem JSON: ${name}`, async () => {
      const problem = await scene.mcp.refusal(tool, input);
      assert.equal(problem['code'], code, JSON.stringify(problem));
      assert.ok(problem['title'] && problem['suggestion'] && problem['type'] === `urn:tallystick:problem:${code}`);
      for (const [fact, value] of Object.entries(facts)) assert.equal(problem[fact], value);
      const errors = (problem['errors'] ?? []) as Structured[];
      if (pointers) assert.deepEqual([...new Set(errors.map(({ pointer }) => pointer))].sort(), pointers);
      const isChange = allTools().find((one) => one.name === tool)!.isKeyed;
      assert.equal('idempotency_key' in problem, isChange);
    });

  test('every operation that is shown can be called', async () => {
    for (const { name } of platformTools()) {
      const { isError, content } = await scene.mcp.ask(name, { nope: 1 });
      assert.ok(isError && content[0]?.type === 'text', name);
      assert.equal((JSON.parse(content[0].text) as Structured)['code'], 'invalid_request', name);
    }
  });

  test('refuses a download beyond the limit, and text that is none', async () => {
    const { mcp, fake, sandbox } = scene;
    fake.files.set('big.bin', Buffer.alloc(FILE_BYTES_MAX + 1));
    const large = await mcp.refusal('sandbox_download', { id: sandbox, path: 'big.bin' });
    assert.deepEqual([large['code'], large['cap_bytes']], ['body_too_large', FILE_BYTES_MAX]);
    const part = await mcp.call('sandbox_download', {
      id: sandbox,
      path: 'big.bin',
      offset: FILE_BYTES_MAX,
      length: 9,
    });
    assert.equal(part['bytes'], 1);
    fake.files.set('odd.bin', Buffer.from([255]));
    const odd = await mcp.refusal('sandbox_download', { id: sandbox, path: 'odd.bin', encoding: 'text' });
    assert.deepEqual([odd['code'], odd['path'], odd['cause']], ['file_refused', 'odd.bin', 'not_utf8']);
  });

  test('a tool that does not exist is an error of the protocol', async () => {
    await assert.rejects(scene.mcp.ask('job_explode'), /job_explode/);
  });

  test('takes the receipts home once, and says offline where an export fails', async () => {
    const { mcp, terminal } = scene;
    const path = join(terminal.folder, 'all.jsonl');
    assert.deepEqual(await mcp.call('receipts_export', { path }), { path, bytes: 29 });
    assert.equal(await readFile(path, 'utf8'), '{"type":"tallystick.export"}\n');
    assert.equal((await mcp.refusal('receipts_export', { path }))['code'], 'already_exists');
    const report = await mcp.call('receipts_verify', { path, verifier_key: 'x+1a2b3c4d+Ae' });
    assert.equal(report['ok'], false);
    assert.equal((report['problems'] as Structured[])[0]?.['line'], 1);
  });

  test('speaks the newest protocol too, when the client does', async () => {
    await using modern = await openMcp(scene.terminal.env, { versionNegotiation: { mode: 'auto' } });
    assert.equal(modern.client.getNegotiatedProtocolVersion(), '2026-07-28');
    assert.ok((await modern.client.listTools()).tools.length > 20);
    assert.ok('balance_micros' in (await modern.call('billing_balance')));
  });

  test('said nothing beside the protocol', () => {
    assert.equal(scene.mcp.said(), '');
  });
});

test('without a login every tool of the platform says so, and a login made meanwhile is used', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal();
  await using mcp = await openMcp(terminal.env);
  assert.ok((await mcp.client.listTools()).tools.length > 20);
  const nowhere = await mcp.refusal('billing_balance');
  assert.deepEqual([nowhere['code'], nowhere['status']], ['credential_missing', 401]);
  assert.match(String(nowhere['suggestion']), /TALLY_URL/);
  await mkdir(join(terminal.folder, 'data', 'run'), { recursive: true });
  await writeFile(join(terminal.folder, 'data', 'run', 'api.json'), JSON.stringify({ url: fake.url }));
  const anonymous = await mcp.refusal('sandbox_download', { id: id('sbx', 1), path: 'a' });
  assert.equal(anonymous['code'], 'credential_missing');
  assert.match(String(anonymous['suggestion']), /tally login/);
  assert.equal((await terminal.run('login', '--new', '--url', fake.url)).code, 0);
  assert.equal((await mcp.call('billing_balance'))['balance_micros'], 0);
});

test('a platform that is gone leaves the outcome unknown, under a key to repeat with', async () => {
  await using terminal = await openTerminal();
  {
    await using fake = await startFakePlatform();
    Object.assign(terminal.env, { TALLY_URL: fake.url, TALLY_API_KEY: fake.addKey() });
  }
  await using mcp = await openMcp(terminal.env);
  const problem = await mcp.refusal('job_create', { max_total_spend_micros: 1, idempotency_key: 'mine' });
  assert.deepEqual([problem['code'], problem['status'], problem['idempotency_key']], ['outcome_unknown', 503, 'mine']);
});

test('a call that its client gives up leaves the platform alone', async () => {
  const asked = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const silent = createServer((request) => {
    asked.resolve();
    request.on('close', () => left.resolve());
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  await using terminal = await openTerminal(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
  await using mcp = await openMcp({ ...terminal.env, TALLY_API_KEY: 'tly_x' });
  const controller = new AbortController();
  const call = mcp.client.callTool({ name: 'billing_balance', arguments: {} }, { signal: controller.signal });
  await asked.promise;
  controller.abort(new Error('enough'));
  await assert.rejects(call);
  await left.promise;
  assert.equal(mcp.said(), '');
  silent.close();
});

test('what is no message changes nothing, and the end of input ends the program', async () => {
  await using terminal = await openTerminal();
  const server = spawn(process.execPath, [MAIN, 'mcp'], { env: terminal.env, stdio: ['pipe', 'pipe', 'pipe'] });
  const exit = once(server, 'exit');
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } };
  server.stdin.write('garbage\n\n{"jsonrpc":"2.0"}\n');
  server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'initialize', params })}\n`);
  const next = async () => JSON.parse(String((await lines.next()).value)) as { id: number; result: Structured };
  for (const _complaint of ['no JSON', 'no message']) assert.equal((await next()).id, null);
  const answer = await next();
  assert.equal(answer.id, 7);
  assert.equal((answer.result['serverInfo'] as Structured)['name'], 'tallystick');
  server.stdin.end();
  assert.deepEqual(await exit, [0, null]);
  assert.equal((await lines.next()).done, true);
});

const endings: [name: string, end: (server: ChildProcess) => void, said: RegExp][] = [
  ['an interrupt', (server) => server.kill('SIGINT'), /^$/],
  [
    'a message without end',
    (server) => server.stdin!.write(Buffer.alloc(11 * 1024 * 1024, 'x')),
    /^tally mcp: .*size/s,
  ],
];
for (const [name, end, said] of endings)
  test(`${name} ends the program`, async () => {
    await using terminal = await openTerminal();
    const server = spawn(process.execPath, [MAIN, 'mcp'], { env: terminal.env, stdio: ['pipe', 'pipe', 'pipe'] });
    server.stdin.on('error', () => undefined);
    let err = '';
    server.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    const exit = once(server, 'close');
    server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'ping' })}\n`);
    await once(server.stdout, 'data');
    end(server);
    assert.deepEqual(await exit, [0, null]);
    assert.match(err, said);
  });

test('a bug of ours is told without its details, which go to the log', () => {
  const seen: unknown[] = [];
  const fault = new Error('secret detail');
  const problem = problemOf(fault, (one) => seen.push(one));
  assert.equal(problem['code'], 'internal');
  assert.doesNotMatch(JSON.stringify(problem), /secret detail/);
  assert.deepEqual(seen, [fault]);
});
