/** What every call has in common: wallets, keys, names, giving up, and typed refusals. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import {
  ApiError,
  connect,
  login,
  newPrivateKey,
  PrivateKeyError,
  signerOfPrivateKey,
  UnreachableError,
} from './index.ts';
import { startFakePlatform } from './testing/fake-platform.ts';

test('a private key is hex with 0x or 32 bytes, and both are the same wallet', () => {
  const hex = newPrivateKey();
  assert.match(hex, /^0x[0-9a-f]{64}$/);
  const bytes = Buffer.from(hex.slice(2), 'hex');
  for (const key of [hex.replace(/[a-f]/g, (digit) => digit.toUpperCase()), bytes, new Uint8Array(bytes)])
    assert.equal(signerOfPrivateKey(key).address, signerOfPrivateKey(hex).address);
});

const NO_KEYS: [what: string, key: unknown][] = [
  ['without 0x', 'ab'.repeat(32)],
  ['too short', '0xab'],
  ['too long', `0x${'ab'.repeat(33)}`],
  ['no hex', `0x${'zz'.repeat(32)}`],
  ['empty', ''],
  ['31 bytes', randomBytes(31)],
  ['zero', new Uint8Array(32)],
  ['the order of the curve and more', `0x${'ff'.repeat(32)}`],
  ['a number', 7],
  ['nothing', undefined],
];
for (const [what, key] of NO_KEYS)
  test(`[I-30] what is no private key is refused by type, and is not repeated: ${what}`, () => {
    assert.throws(
      () => signerOfPrivateKey(key as string),
      (fault) =>
        fault instanceof PrivateKeyError &&
        fault.code === 'private_key_invalid' &&
        /0x and 64 hex digits, or 32 bytes/.test(fault.message) &&
        !(typeof key === 'string' && key !== '' && fault.message.includes(key)),
    );
  });

test('[I-15] a name is an idempotency key: within its scope the same name asks under the same key', async () => {
  await using fake = await startFakePlatform();
  const keys: string[] = [];
  const listen: typeof fetch = (input, init) => {
    const key = new Headers(init?.headers).get('idempotency-key');
    if (key !== null) keys.push(key);
    return fetch(input, init);
  };
  const tally = connect({ baseUrl: fake.url, apiKey: fake.addKey(), fetch: listen });
  const job = await tally.jobs.create({ name: 'nightly', maxTotalSpendMicros: 500_000n });
  await tally.jobs.create({ name: 'nightly', maxTotalSpendMicros: 500_000n });
  await tally.jobs.create({ name: 'weekly', maxTotalSpendMicros: 500_000n });
  for (const name of ['w\u00f6rker 1', 'w\u00f6rker 1', 'x'.repeat(100)]) await job.sandboxes.create({ name });
  await job.sandboxes.create({ name: 'weekly', key: 'my-own' });
  assert.equal(job.state.label, 'nightly');
  assert.deepEqual([keys[0] === keys[1], keys[3] === keys[4], new Set(keys).size], [true, true, 5]);
  assert.equal(keys.at(-1), 'my-own');
  for (const key of keys) assert.match(key, /^[\x21-\x7e]{1,255}$/);
});

test('a refusal is typed by its code, and carries the facts', async () => {
  await using fake = await startFakePlatform();
  const tally = connect({ baseUrl: fake.url, apiKey: fake.addKey() });
  const job = await tally.jobs.create({ maxTotalSpendMicros: 10n });
  const fault = await job.sandboxes.create().catch((thrown: unknown) => thrown);
  assert.ok(fault instanceof ApiError);
  assert.deepEqual([fault.code, fault.problem['cap_micros']], ['job_cap_exceeded', 10]);
});

/** Takes requests and never answers. */
async function silence(): Promise<{ url: string; close(): void }> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('every call ends when its signal does', async () => {
  const silent = await silence();
  try {
    const tally = connect({ baseUrl: silent.url, apiKey: 'tally_key_x' });
    const sandbox = tally.sandboxes.attach(`sbx_${'1'.repeat(32)}`);
    const signer = signerOfPrivateKey(newPrivateKey());
    const calls: [string, (signal: AbortSignal) => Promise<unknown>][] = [
      ['login', (signal) => login({ baseUrl: silent.url, signer, signal })],
      ['balance', (signal) => tally.balance({ signal })],
      ['deposit', (signal) => tally.depositDevelopment(1n, { signal })],
      ['jobs.create', (signal) => tally.jobs.create({ maxTotalSpendMicros: 1n, signal })],
      ['jobs.list', (signal) => Array.fromAsync(tally.jobs.list({ signal }))],
      ['jobs.stop', (signal) => tally.jobs.stop(`job_${'1'.repeat(32)}`, { signal })],
      ['sandboxes.create', (signal) => tally.sandboxes.create(`job_${'1'.repeat(32)}`, { signal })],
      ['sandboxes.list', (signal) => Array.fromAsync(tally.sandboxes.list({ signal }))],
      ['refresh', (signal) => sandbox.refresh({ signal })],
      ['exec', (signal) => sandbox.exec(['true'], { signal })],
      ['execs', (signal) => sandbox.execs({ signal })],
      ['upload', (signal) => sandbox.upload('a', new Uint8Array(1), { signal })],
      ['download', (signal) => Array.fromAsync(sandbox.download('a', { signal }))],
      ['files.stat', (signal) => sandbox.files.stat('a', { signal })],
      ['files.mkdir', (signal) => sandbox.files.mkdir('a', { signal })],
      ['ports', (signal) => sandbox.ports({ signal })],
      ['attest', (signal) => sandbox.attest({ signal })],
      ['touch', (signal) => sandbox.touch({ signal })],
      ['destroy', (signal) => sandbox.destroy({ signal })],
      ['keys.list', (signal) => Array.fromAsync(tally.keys.list({ signal }))],
      ['receipts.list', (signal) => Array.fromAsync(tally.receipts.list({ signal }))],
      ['receipts.stream', (signal) => Array.fromAsync(tally.receipts.stream({ signal }))],
    ];
    for (const [name, call] of calls) {
      const controller = new AbortController();
      const called = call(controller.signal);
      setImmediate(() => controller.abort());
      await assert.rejects(called, (fault: Error) => fault.name === 'AbortError', name);
    }
  } finally {
    silent.close();
  }
});

test('a platform that is not there is unreachable, not a refusal', async () => {
  const silent = await silence();
  silent.close();
  const tally = connect({ baseUrl: silent.url, apiKey: 'tally_key_x', attemptsMax: 1 });
  await assert.rejects(tally.balance(), UnreachableError);
});
