/** Live streams over real sockets on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ClientFrameSchema, ServerFrameSchema } from '@tallystick/proto';
import { createLiveClient, LIVE_JSON, LiveProblem, type LiveProtocol } from './client/index.ts';
import { attachLive, type LiveServer } from './live.ts';
import { spliceBatch } from './live-frames.ts';
import { MemoryTopic } from './testing/memory-topic.ts';

const topics = new Map<string, MemoryTopic>();
const revoked = new Set<string>();
const faults: unknown[] = [];
let http: Server;
let live: LiveServer;
let url = '';

const LIVE_TEST_OPTIONS = {
  authenticate: (token: string) =>
    token.startsWith('key') && !revoked.has(token) ? { id: token, keyId: token, scopes: new Set<string>() } : undefined,
  open: (topic: string) => topics.get(topic),
  log: (fault: unknown) => faults.push(fault),
};

async function startLive(options = {}): Promise<{ http: Server; live: LiveServer; url: string }> {
  const server = createServer();
  const attached = attachLive(server, { ...LIVE_TEST_OPTIONS, ...options });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { http: server, live: attached, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

before(async () => {
  ({ http, live, url } = await startLive());
});
after(async () => {
  await live.drain();
  http.close();
  assert.deepEqual(faults, []);
});

function topicNamed(name: string, topic = new MemoryTopic()): MemoryTopic {
  topics.set(name, topic);
  return topic;
}

/** A bare JSON reader that keeps every frame and can wait for one. */
class BareReader {
  readonly frames: Record<string, { [key: string]: unknown }>[] = [];
  readonly closed: Promise<{ code: number }>;
  readonly #socket: WebSocket;
  #wake = (): void => {};

  constructor(at = url) {
    this.#socket = new WebSocket(`${at.replace('http', 'ws')}/v1/live`, [LIVE_JSON]);
    this.#socket.onmessage = ({ data }) => {
      this.frames.push(JSON.parse(data as string));
      this.#wake();
    };
    this.closed = new Promise((resolve) => {
      this.#socket.onclose = ({ code }) => resolve({ code });
    });
  }

  async say(...frames: object[]): Promise<void> {
    if (this.#socket.readyState === WebSocket.CONNECTING)
      await new Promise((resolve) => this.#socket.addEventListener('open', resolve, { once: true }));
    for (const frame of frames) this.#socket.send(JSON.stringify(frame));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  /** Waits until `isEnough` holds for the frames so far. */
  async until(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  get eventCount(): number {
    return this.frames.reduce(
      (sum, frame) => sum + ((frame['batch']?.['events'] as unknown[] | undefined)?.length ?? 0),
      0,
    );
  }

  close(): void {
    this.#socket.close();
  }
}

/** A frame that the connection answers only after everything said before it was dealt with. */
async function settled(reader: BareReader, sub: number): Promise<void> {
  await reader.say({ subscribe: { sub, topic: 'no such topic' } });
  await reader.until(() => reader.frames.some((frame) => frame['problem']?.['sub'] === sub));
}

test('a spliced batch is a real frame', () => {
  const topic = new MemoryTopic();
  topic.append('a');
  topic.append('b');
  return topic.read(0n, 9).then((events) => {
    const bytes = events.map((event) => event.bytes);
    const { frame } = fromBinary(ServerFrameSchema, spliceBatch(7, bytes));
    assert.ok(frame.case === 'batch');
    assert.equal(frame.value.sub, 7);
    assert.deepEqual(
      frame.value.events.map((event) => event.cursor),
      topic.cursors(),
    );
  });
});

for (const protocol of [undefined, LIVE_JSON] as (LiveProtocol | undefined)[])
  test(`no gap and no duplicate across broken connections while the writer appends (${protocol ?? 'binary'})`, async () => {
    const name = `sandbox/${protocol ?? 'binary'}`;
    const topic = topicNamed(name);
    const total = 3000;
    const client = createLiveClient({ url, token: 'key1', ...(protocol ? { protocol } : {}) });
    const got: bigint[] = [];
    let written = 0;
    let cuts = 0;
    for (; written < 200; written++) topic.append('history');
    for await (const event of client.topic(name, { after: 0n, window: 64 })) {
      got.push(event.cursor);
      for (let index = 0; index < 3 && written < total; index++, written++) topic.append(`v${written}`);
      if (got.length % 400 === 0) {
        live.terminateAll();
        cuts++;
      }
      if (got.length === total) break;
    }
    assert.ok(cuts > 3);
    assert.deepEqual(got, topic.cursors());
    client.close();
  });

test('several topics share one connection, and it closes with the last of them', async () => {
  const names = ['job/a', 'job/b', 'job/c'];
  for (const name of names) topicNamed(name).append(name);
  const client = createLiveClient({ url, token: 'key1' });
  const iterations = names.map((name) => client.topic(name, { after: 0n }));
  const first = await Promise.all(iterations.map((iteration) => iteration.next()));
  const texts = first.map(({ value }) =>
    value?.body.case === 'output' ? Buffer.from(value.body.value.bytes).toString() : '',
  );
  assert.deepEqual(texts, names);
  assert.equal(live.connectionCount(), 1);
  for (const iteration of iterations) await iteration.return();
  while (live.connectionCount() > 0) await new Promise(setImmediate);
  for (const name of names) assert.equal(topics.get(name)?.watcherCount, 0);
});

test('without a cursor only what is new arrives', async () => {
  const topic = topicNamed('job/new');
  topic.append('old');
  const client = createLiveClient({ url, token: 'key1' });
  const onState = (state: string) => {
    if (state === 'caught_up') topic.append('new');
  };
  for await (const event of client.topic('job/new', { onState })) {
    assert.equal(event.cursor, topic.head());
    break;
  }
  client.close();
});

test('window: a reader that does not acknowledge gets one window and costs nothing more', async () => {
  const topic = topicNamed('job/window');
  for (let index = 0; index < 100; index++) topic.append('x');
  const reader = new BareReader();
  await reader.say({ auth: { token: 'key1' } }, { subscribe: { sub: 1, topic: 'job/window', after: '0', window: 10 } });
  await reader.until(() => reader.eventCount >= 10);
  await settled(reader, 90);
  assert.equal(reader.eventCount, 10);
  const reads = topic.readCount;
  for (let index = 0; index < 50; index++) topic.append('y');
  await settled(reader, 91);
  assert.deepEqual([reader.eventCount, topic.readCount], [10, reads]);
  await reader.say({ ack: { sub: 1, cursor: String(topic.cursors()[3]) } });
  await reader.until(() => reader.eventCount >= 14);
  await settled(reader, 92);
  assert.equal(reader.eventCount, 14);
  reader.close();
});

test('window of an exec topic counts KiB, and one event larger than the window still passes', async () => {
  const topic = topicNamed('exec/s/kib', new MemoryTopic('e1', 'kib'));
  for (const kib of [3, 1, 1, 1]) topic.append('x'.repeat(kib * 1000));
  const reader = new BareReader();
  await reader.say({ auth: { token: 'key1' } }, { subscribe: { sub: 1, topic: 'exec/s/kib', after: '0', window: 2 } });
  await reader.until(() => reader.eventCount >= 1);
  await settled(reader, 90);
  assert.equal(reader.eventCount, 1);
  await reader.say({ ack: { sub: 1, cursor: String(topic.cursors()[0]) } });
  await reader.until(() => reader.eventCount >= 3);
  await settled(reader, 91);
  assert.equal(reader.eventCount, 3);
  reader.close();
});

test('a slow reader holds one batch in memory, not the log', async () => {
  const topic = topicNamed('job/slow');
  const big = 'x'.repeat(100_000);
  for (let index = 0; index < 400; index++) topic.append(big);
  const { port } = http.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  const key = Buffer.alloc(16).toString('base64');
  socket.write(
    `GET /v1/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\nsec-websocket-protocol: tallystick.live.v1+proto\r\n\r\n`,
  );
  await once(socket, 'data');
  socket.pause();
  for (const frame of [
    { case: 'auth' as const, value: { token: 'key1' } },
    { case: 'subscribe' as const, value: { sub: 1, topic: 'job/slow', after: 0n, window: 4096 } },
  ])
    socket.write(maskedFrame(toBinary(ClientFrameSchema, create(ClientFrameSchema, { frame }))));
  while (topic.readCount === 0) await new Promise(setImmediate);
  const before = process.memoryUsage().arrayBuffers;
  for (let index = 0; index < 2000; index++) await new Promise(setImmediate);
  const grownBytes = process.memoryUsage().arrayBuffers - before;
  assert.ok(topic.readCount <= 2, `${topic.readCount} reads`);
  assert.ok(grownBytes < 20_000_000, `${grownBytes} bytes`);
  socket.destroy();
});

/** A short client frame with a zero mask. */
const maskedFrame = (payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload]);

const stale: [name: string, after: bigint, epoch: string, reason: string][] = [
  ['dropped', 5n, '', 'outdated_cursor'],
  ['future', 5000n, '', 'future_cursor'],
  ['another epoch', 195n, 'old', 'epoch'],
];
for (const [name, cursor, epoch, reason] of stale)
  test(`reset: a cursor that cannot be honoured (${name})`, async () => {
    const topic = topicNamed('job/stale', new MemoryTopic('e9'));
    for (let index = 0; index < 100; index++) topic.append('x');
    topic.trim(10);
    const client = createLiveClient({ url, token: 'key1' });
    const asked = { after: cursor, epoch };
    await assert.rejects(
      client.topic('job/stale', asked).next(),
      (fault) => fault instanceof LiveProblem && fault.code === 'reset',
    );
    let told = '';
    const onReset = (reset: { reason: string; oldest: bigint }) => {
      told = reset.reason;
      return reset.oldest;
    };
    const { value } = await client.topic('job/stale', { ...asked, onReset }).next();
    assert.deepEqual([told, value?.cursor], [reason, topic.cursors()[0]]);
    client.close();
  });

test('reset: the log was trimmed under a reader whose window was full', async () => {
  const topic = topicNamed('job/trimmed');
  for (let index = 0; index < 50; index++) topic.append('x');
  const reader = new BareReader();
  await reader.say({ auth: { token: 'key1' } }, { subscribe: { sub: 1, topic: 'job/trimmed', after: '0', window: 5 } });
  await reader.until(() => reader.eventCount >= 5);
  const fifth = String(topic.cursors()[4]);
  topic.trim(10);
  await reader.say({ ack: { sub: 1, cursor: fifth } });
  await reader.until(() => reader.frames.some((frame) => frame['reset']));
  assert.equal(reader.frames.at(-1)?.['reset']?.['reason'], 'outdated_cursor');
  assert.equal(topic.watcherCount, 0);
  reader.close();
});

test('an exec topic ends after the end of its command', async () => {
  const topic = topicNamed('exec/s/x', new MemoryTopic('e1', 'kib'));
  topic.append('hello');
  const client = createLiveClient({ url, token: 'key1' });
  const kinds: (string | undefined)[] = [];
  for await (const event of client.topic('exec/s/x', { after: 0n })) {
    kinds.push(event.body.case);
    if (kinds.length === 1) topic.end();
  }
  assert.deepEqual(kinds, ['output', 'execEnd']);
  while (topic.watcherCount > 0) await new Promise(setImmediate);
});

test('a topic that is not there for the caller is a problem with a catalogue code', async () => {
  const client = createLiveClient({ url, token: 'key1' });
  await assert.rejects(
    client.topic('job/none').next(),
    (fault) => fault instanceof LiveProblem && fault.code === 'not_found',
  );
});

test('an unknown key ends the iteration instead of trying for ever', async () => {
  const client = createLiveClient({ url, token: 'nobody' });
  await assert.rejects(
    client.topic('job/a').next(),
    (fault) => fault instanceof LiveProblem && fault.code === 'credential_refused',
  );
});

test('an aborted signal and close() end the iteration', async () => {
  topicNamed('job/quiet');
  const client = createLiveClient({ url, token: 'key1' });
  const controller = new AbortController();
  const next = client
    .topic('job/quiet', { signal: controller.signal, onState: () => controller.abort(new Error('enough')) })
    .next();
  await assert.rejects(next, /enough/);
  const other = client.topic('job/quiet', { onState: () => client.close() }).next();
  await assert.rejects(other, (fault) => fault instanceof LiveProblem && fault.code === 'closed');
});

const refusedFrames: [name: string, text: string, code: number][] = [
  ['subscribe before Auth', '{"subscribe":{"sub":1,"topic":"job/a"}}', 4401],
  ['unknown key', '{"auth":{"token":"nobody"}}', 4401],
  ['not JSON', '{', 1007],
  ['unknown frame', '{"delete":{}}', 1007],
  ['empty frame', '{}', 1007],
  ['a frame that breaks its rules', '{"subscribe":{"sub":0,"topic":""}}', 1007],
  ['larger than the limit', `{"auth":{"token":"${'x'.repeat(70_000)}"}}`, 1009],
];
for (const [name, text, code] of refusedFrames)
  test(`refused: ${name}`, async () => {
    const reader = new BareReader();
    await reader.say();
    reader.sendText(text);
    assert.equal((await reader.closed).code, code);
  });

test('no Auth frame: the connection is closed', async () => {
  const own = await startLive({ authWaitMs: 20 });
  const reader = new BareReader(own.url);
  assert.equal((await reader.closed).code, 4401);
  await own.live.drain();
  own.http.close();
});

test('no sub-protocol, another path, too many connections: no upgrade', async () => {
  const own = await startLive({ connectionsMax: 1 });
  const first = new BareReader(own.url);
  await first.say({ auth: { token: 'key1' } });
  assert.equal((await new BareReader(own.url).closed).code, 1006);
  first.close();
  await first.closed;
  const bare = new WebSocket(`${own.url.replace('http', 'ws')}/v1/live`);
  const code = await new Promise((resolve) => (bare.onclose = (event) => resolve(event.code)));
  assert.equal(code, 1006);
  await own.live.drain();
  own.http.close();
});

test('heartbeat: an idle reader hears CaughtUp again, and a revoked key is shown out', async () => {
  const own = await startLive({ heartbeatMs: 20 });
  topicNamed('job/idle').append('x');
  const reader = new BareReader(own.url);
  await reader.say({ auth: { token: 'key-idle' } }, { subscribe: { sub: 1, topic: 'job/idle', after: '0' } });
  await reader.until(() => reader.frames.filter((frame) => frame['caught_up']).length >= 3);
  revoked.add('key-idle');
  assert.equal((await reader.closed).code, 4401);
  await own.live.drain();
  own.http.close();
});

test('drain: readers are told to go away, and come back to the next server with their cursors', async () => {
  const first = await startLive();
  const topic = topicNamed('job/drain');
  topic.append('before');
  const client = createLiveClient({ url: first.url, token: 'key1' });
  const iteration = client.topic('job/drain', { after: 0n });
  assert.equal((await iteration.next()).value?.cursor, 1n);
  await first.live.drain();
  topic.append('after');
  const attached = attachLive(first.http, LIVE_TEST_OPTIONS);
  assert.equal((await iteration.next()).value?.cursor, topic.head());
  client.close();
  await attached.drain();
  first.http.close();
});
