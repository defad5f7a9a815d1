/**
 * What a program in a sandbox serves can be reached: by its owner, by whoever has the link, and by nobody else.
 * Promise: everything goes through the public protocol, against a whole platform.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect as connectTo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ApiError, type Sandbox } from '@tallystick/sdk';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, ROOT, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const SMALL = { cpuMillis: 500, ramMib: 128, diskMib: 32 } as const;
const PORT = 8_080;
const SERVER = `import { createServer } from 'node:http';
createServer((asked, answer) => answer.end('hello ' + asked.url + ' ' + (asked.headers.authorization ?? 'nobody')))
  .listen(${PORT}, '127.0.0.1', () => console.log('listens'));`;

interface Answer {
  status: number | undefined;
  cookie: string;
  text: string;
}

/** As a browser would: names below localhost are this machine. */
async function get(address: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { host, port, pathname } = new URL(address);
  const sent = request({ host: '127.0.0.1', port, path: pathname, headers: { ...headers, host }, agent: false });
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  const cookie = answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  return { status: answer.statusCode, cookie, text: Buffer.concat(chunks).toString() };
}

describe('a port of a sandbox', () => {
  let platform: Platform;
  let apiKey: string;
  let sandbox: Sandbox;
  before(async () => {
    platform = await startPlatform({ quantumMs: 10_000 });
    const { tally, key } = await newcomer(platform.url, { depositMicros: 1_000_000n });
    apiKey = key.secret;
    const job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
    sandbox = await job.sandboxes.create({ ...SMALL, quantumMs: 10_000n });
    await sandbox.upload('server.mjs', SERVER);
    const run = await sandbox.execStream(['node', 'server.mjs']);
    for await (const { bytes } of run) if (Buffer.from(bytes).includes('listens')) break;
  });
  after(() => platform[Symbol.asyncDispose]());

  test('its owner reaches it by key; others learn nothing; the program never sees the key', async () => {
    const { url, link } = await sandbox.exposePort(PORT);
    assert.equal(link, '');
    assert.equal((await get(url)).status, 401);
    const answer = await get(`${url}/page`, { authorization: `Bearer ${apiKey}` });
    assert.deepEqual([answer.status, answer.text], [200, 'hello /page nobody']);
    const { key } = await newcomer(platform.url);
    assert.equal((await get(url, { authorization: `Bearer ${key.secret}` })).status, 404);
  });

  test('a link lets in whoever has it, until the port is opened anew or closed', async () => {
    const { link, url } = await sandbox.exposePort(PORT, { visibility: 'link', ttlMs: 60_000n });
    const { status, cookie } = await get(link);
    assert.equal(status, 303);
    assert.equal((await get(url, { cookie })).text, 'hello / nobody');
    const [listed] = await sandbox.ports();
    assert.equal(listed?.link, link);
    await sandbox.exposePort(PORT, { visibility: 'link' });
    assert.equal((await get(url, { cookie })).status, 401);
    await sandbox.closePort(PORT);
    assert.equal((await get(url, { authorization: `Bearer ${apiKey}` })).status, 404);
    await assert.rejects(sandbox.closePort(PORT), (fault) => fault instanceof ApiError && fault.code === 'not_found');
  });

  test('traffic counts as activity, with its cause', async () => {
    const { url } = await sandbox.exposePort(PORT);
    await get(url, { authorization: `Bearer ${apiKey}` });
    await until('port is the cause', async () => (await sandbox.refresh()).lastActivityCause === 'port');
  });

  test('tally port forward carries a local connection, also under a platform that was restarted', async () => {
    const before = (await sandbox.exposePort(PORT)).url;
    const pids = [platform.pid('api')];
    await platform.kill('api');
    await platform.untilReady(pids);
    assert.equal((await sandbox.ports())[0]?.url, before, 'a restart is found where it was');
    const home = join(platform.folder, 'cli');
    mkdirSync(home);
    const words = [join(ROOT, 'terminal', 'main.ts'), 'port', 'forward', sandbox.id, String(PORT), '--json'];
    const env = { ...process.env, HOME: home, TALLY_URL: platform.url, TALLY_API_KEY: apiKey };
    const forward = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const { listen } = JSON.parse(String((await once(forward.stdout, 'data'))[0]));
      const socket = connectTo(Number(listen.split(':')[1]), '127.0.0.1');
      socket.end('GET /raw HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
      const chunks: Buffer[] = [];
      for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
      assert.match(Buffer.concat(chunks).toString(), /hello \/raw nobody/);
    } finally {
      forward.kill('SIGINT');
      assert.deepEqual(await once(forward, 'exit'), [0, null]);
    }
  });

  test('the end of the sandbox ends its connections', async () => {
    const stream = await sandbox.connectPort(await sandbox.exposePort(PORT));
    stream.resume();
    const closed = once(stream, 'close');
    await sandbox.stop();
    await closed;
  });
});
