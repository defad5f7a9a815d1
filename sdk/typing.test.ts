/** Terminals through the sdk: what is typed, its size, and the list of commands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, login, type Sandbox, signerOfPrivateKey } from './index.ts';
import { type FakePlatform, startFakePlatform } from './testing/fake-platform.ts';

const SIZE = { columns: 91, rows: 33 };

async function sandboxOf(fake: FakePlatform): Promise<Sandbox> {
  const { secret } = await login({ baseUrl: fake.url, signer: signerOfPrivateKey(Buffer.alloc(32, 7)) });
  const tally = connect({ baseUrl: fake.url, apiKey: secret });
  return (await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n })).sandboxes.create();
}

test('what is typed arrives once and in order, and the terminal ends with it', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await sandboxOf(fake);
  const shell = await sandbox.terminal(['ticker'], { tty: SIZE });
  const typed = Array.from({ length: 200 }, (_, index) => `${index} `);
  await Promise.all(typed.map((text) => shell.write(text)));
  await shell.end();
  let screen = '';
  for await (const { bytes } of shell) screen += Buffer.from(bytes).toString();
  assert.equal(screen, typed.join(''));
  assert.deepEqual(await shell.outcome, { end: 'exited', exitCode: 0 });
});

test('a large input travels in several pieces', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await sandboxOf(fake);
  const shell = await sandbox.terminal(['ticker'], { tty: SIZE });
  const bytes = Buffer.alloc(600_000, 'abc');
  await shell.write(bytes);
  assert.ok(fake.execs.get(shell.execId)?.typed.equals(bytes));
});

test('a terminal is listed with its size and hears a new one; another writer may type, too', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await sandboxOf(fake);
  const shell = await sandbox.terminal(['ticker'], { tty: SIZE });
  const [listed] = await sandbox.execs();
  assert.deepEqual([listed?.program, listed?.running, listed?.tty?.columns], ['ticker', true, 91]);
  await shell.resize({ columns: 120, rows: 40 });
  assert.deepEqual(fake.execs.get(shell.execId)?.tty, { columns: 120, rows: 40 });
  await sandbox.input(shell.execId).write('x');
  assert.equal(fake.execs.get(shell.execId)?.typed.toString(), 'x');
});
