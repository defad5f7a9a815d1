/**
 * What people get who follow the README: the terminal finds the platform by itself, also after a stop and a start.
 * Promise: goes through `npm start`'s program and `tally` as processes, with a home folder of its own.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Platform, ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';
import { until } from './harness/until.ts';

const TALLY = join(ROOT, 'terminal', 'bin', 'tally.mjs');
const UP = join(ROOT, 'infra', 'local', 'up.ts');
const HOST = '127.0.0.1';
type Value = Record<string, unknown>;

/** A port that nobody has now, so that this test does not ask for the one of somebody's own platform. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('a newcomer stops and starts again', { concurrency: 1 }, () => {
  const [folder, home] = [temporaryFolder(), temporaryFolder()];
  const env = {
    PATH: process.env['PATH'] ?? '',
    TALLY_DATA: folder,
    TALLY_HOME: join(home, '.tally'),
    TALLY_PASSPHRASE: 'of a newcomer',
  };
  let port: number;
  let platform: Platform;
  let sandboxId: string;

  const tallySays = async (...argv: string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, [TALLY, ...argv], { env })).stdout;

  async function tally(...argv: string[]): Promise<Value> {
    return JSON.parse(await tallySays(...argv, '--json')) as Value;
  }

  before(async () => {
    port = await freePort();
    writeFileSync(join(folder, 'ports.json'), JSON.stringify({ api: port }));
    platform = await startPlatform({ folder, isFoundAgain: true });
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    for (const place of [folder, home]) rmSync(place, { recursive: true, force: true });
  });

  test('every address that the start prints answers, and the commands that it prints exist', async () => {
    const addresses: string[] = [...(platform.said.match(/http:\/\/\S+/g) ?? [])];
    for (const path of ['', '/docs', '/openapi.json']) assert.ok(addresses.includes(`${platform.url}${path}`), path);
    for (const address of addresses) await fetch(address).then((answer) => answer.body?.cancel());
    await platform.untilReady();
    for (const path of ['/', '/docs', '/openapi.json', '/healthz'])
      assert.equal((await fetch(platform.url + path)).status, 200, path);
    for (const verb of ['login --new', "deposit '$5'", "job create --budget '$1'", 'sandbox create --job'])
      assert.ok(platform.said.includes(`npx tally ${verb}`), verb);
  });

  test('the terminal finds the platform without being told where it is', async () => {
    await tally('login', '--new');
    assert.equal((await tally('deposit', '$5'))['balance_micros'], 5_000_000);
    const job = await tally('job', 'create', '--budget', '$1');
    sandboxId = String((await tally('sandbox', 'create', '--job', String(job['id'])))['id']);
    assert.equal(await tallySays('exec', sandboxId, '--', 'echo', 'hello'), 'hello\n');
  });

  test('a second start beside the first one says where that is, and harms nothing', async () => {
    const second = spawnSync(process.execPath, [UP, '--data', folder], { encoding: 'utf8' });
    assert.equal(second.status, 1);
    assert.ok(second.stderr.includes(`it runs already: ${platform.url}`), second.stderr);
    assert.equal(await tallySays('exec', sandboxId, '--', 'echo', 'still'), 'still\n');
  });

  test('after a stop and a start it has the same address, and the login still works', async () => {
    await platform.stop();
    platform = await startPlatform({ folder, isFoundAgain: true });
    assert.equal(new URL(platform.url).port, String(port));
    assert.ok(Number((await tally('balance'))['balance_micros']) > 0);
    await until('the sandbox of before has ended', async () => {
      const { status } = await tally('sandbox', 'get', sandboxId);
      return status === 'ended';
    });
  });

  test('when somebody else has its port it takes another one, and the login still works', async () => {
    await platform.stop();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, HOST, resolve));
    try {
      platform = await startPlatform({ folder, isFoundAgain: true });
      assert.notEqual(new URL(platform.url).port, String(port));
      assert.ok(platform.said.includes(`port ${port} is taken by another program`), platform.said);
      assert.ok(Number((await tally('balance'))['balance_micros']) > 0);
      assert.ok(readFileSync(join(folder, 'ports.json'), 'utf8').includes(new URL(platform.url).port));
    } finally {
      other.close();
    }
  });
});
