// The listener for ports, in front of programs on loopback that stand for those in a sandbox.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestOptions, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { type Provider, ProviderFault } from '@tallystick/engine/adapters/provider';
import type { OpenPort, SandboxState } from '@tallystick/hosting';
import { cookieIn, headForTenant, headFromTenant, isForeignPage } from './heads.ts';
import { linkSigner } from './link.ts';
import { LINK_PATH, listenForPorts, type PortListener } from './listener.ts';
import { placesBelow } from './place.ts';

const HEX = '0192a0b0c0d07e0f8a1b2c3d4e5f6a7b';
const SANDBOX = `sbx_${HEX}`;
const [LINKED, PRIVATE, DEAD, NEVER] = [8_080, 9_090, 7_070, 6_060];
const OWNER_KEY = 'tally_key_owner';
const links = linkSigner(Buffer.alloc(32, 7));
const ORIGIN = { address: '192.0.2.1', host: 'p1-x.localhost:1', protocol: 'http' } as const;

const openPort = (port: number, visibility: OpenPort['visibility']): OpenPort => {
  return { port, visibility, serial: 1, expires_at_us: null, exposed_at_us: '0' };
};
const ports = [openPort(LINKED, 'link'), openPort(PRIVATE, 'private'), openPort(DEAD, 'link')];
let sandbox = {
  id: SANDBOX,
  owner: 'alice',
  status: 'running',
  incarnation: 1,
  idle_timeout_ms: null,
  ports,
} as unknown as SandboxState;
const tokenFor = (port: OpenPort): string => links.tokenOf({ sandbox: SANDBOX, incarnation: 1, port });

/** Answers with what it was told, and sets cookies as a hostile program would. */
function tenantProgram(): Server {
  const program = createServer((asked, answer) => {
    if (asked.url === '/hop') answer.setHeader('connection', 'close, x-hop').setHeader('x-hop', '1');
    answer.setHeader('set-cookie', ['a=1; Domain=localhost; Path=/', 'tally_port=stolen', 'b=2; HttpOnly']);
    if (asked.url === '/slow') return void answer.write('first');
    const chunks: Buffer[] = [];
    asked.on('data', (bytes) => chunks.push(bytes));
    asked.on('end', () => {
      const { method, url, headers } = asked;
      answer.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
    });
  });
  program.on('upgrade', (_, socket, head) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.write(head);
    socket.on('error', () => {}).pipe(socket);
  });
  return program;
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
}

async function textOf(answer: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return { status: answer.statusCode ?? 0, headers: answer.headers, text: Buffer.concat(chunks).toString() };
}

describe('the listener for ports', () => {
  const program = tenantProgram();
  const recorded: string[] = [];
  let listener: PortListener;
  let cookie: string;
  before(async () => {
    await once(program.listen(0, '127.0.0.1'), 'listening');
    const tenantPort = (program.address() as AddressInfo).port;
    const provider = {
      openPort: async (_: string, port: number): Promise<Duplex> => {
        if (port === DEAD) throw new ProviderFault('refused', 'port_closed', 'nothing listens');
        const socket = connect(tenantPort, '127.0.0.1');
        await once(socket, 'connect');
        return socket;
      },
    } as unknown as Provider;
    listener = await listenForPorts({
      provider,
      sandboxOf: async (id) => (id === SANDBOX ? sandbox : undefined),
      nowUs: () => 1_000_000n,
      links,
      host: '127.0.0.1',
      port: 0,
      publicUrl: undefined,
      authenticate: (key) => {
        const [, , name] = key.split('_');
        const scopes = new Set(name === 'reader' ? ['jobs:read'] : ['sandboxes:ports']);
        if (name === 'unknown') return undefined;
        return { id: name === 'other' ? 'bob' : 'alice', keyId: 'key', scopes };
      },
      recordActivity: async ({ exposure }) => recorded.push(`${exposure.sandbox}:${exposure.port.port}`),
      onFault: (fault) => assert.fail(String(fault)),
    });
    cookie = `tally_port=${tokenFor(ports[0]!)}`;
  });
  after(async () => {
    await listener[Symbol.asyncDispose]();
    program.closeAllConnections();
    program.close();
  });

  const hostOf = (port: number): string => new URL(listener.places.urlOf({ sandbox: SANDBOX, port })).host;
  const send = (port: number, options: RequestOptions): ReturnType<typeof request> => {
    const headers = { host: hostOf(port), ...options.headers };
    return request(listener.url, { ...options, headers, agent: false });
  };
  const ask = async (port: number, path: string, headers: Record<string, string> = {}, body?: string) => {
    const sent = send(port, { path, headers, method: body === undefined ? 'GET' : 'POST' });
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    return textOf(answer);
  };
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

  const ROWS: [what: string, port: number, headers: () => Record<string, string>, status: number][] = [
    ['nothing shown', LINKED, () => ({}), 401],
    ['nothing shown, a port that is not open', NEVER, () => ({}), 401],
    ['the link', LINKED, () => ({ cookie }), 200],
    ['the link of another port', PRIVATE, () => ({ cookie }), 401],
    ["a private port's own token", PRIVATE, () => ({ cookie: `tally_port=${tokenFor(ports[1]!)}` }), 401],
    [
      'a token of another serial',
      LINKED,
      () => ({ cookie: `tally_port=${tokenFor({ ...ports[0]!, serial: 2 })}` }),
      401,
    ],
    ['no token at all', LINKED, () => ({ cookie: 'tally_port=x' }), 401],
    ["the owner's key", PRIVATE, () => bearer(OWNER_KEY), 200],
    ["the owner's key, not open", NEVER, () => bearer(OWNER_KEY), 404],
    ["another principal's key", PRIVATE, () => bearer('tally_key_other'), 404],
    ['a key without the scope', PRIVATE, () => bearer('tally_key_reader'), 401],
    ['an unknown key beside a good link', LINKED, () => ({ cookie, ...bearer('tally_key_unknown') }), 401],
    ['nobody listens inside', DEAD, () => bearer(OWNER_KEY), 502],
    ['a page of a neighbour', LINKED, () => ({ cookie, origin: `http://${hostOf(PRIVATE)}` }), 403],
    ["a neighbour's picture", LINKED, () => ({ cookie, 'sec-fetch-site': 'same-site' }), 403],
    [
      'a link on another page',
      LINKED,
      () => ({ cookie, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }),
      200,
    ],
    ["the page's own", LINKED, () => ({ cookie, origin: `http://${hostOf(LINKED)}` }), 200],
    ['a host that is nobody', LINKED, () => ({ cookie, host: 'localhost' }), 404],
  ];
  for (const [what, port, headers, status] of ROWS)
    test(`${what}: ${status}`, async () => {
      assert.equal((await ask(port, '/', headers())).status, status);
    });

  test('a machine without money takes nothing new: its owner is told why, a visitor is not', async () => {
    const before = sandbox;
    sandbox = { ...before, ...{ is_unfunded: true, status: 'frozen', paid_until_us: '0', grace_ms: 5_000 } };
    try {
      const [own, linked] = [await ask(PRIVATE, '/', bearer(OWNER_KEY)), await ask(LINKED, '/', { cookie })];
      assert.deepEqual([own.status, linked.status], [402, 503]);
      assert.match(own.text, /no money/);
      assert.doesNotMatch(linked.text, /money/);
      const upgrade = { cookie, connection: 'Upgrade', upgrade: 'websocket' };
      const socket = send(LINKED, { path: '/ws', headers: upgrade });
      socket.end();
      assert.equal(((await once(socket, 'response')) as [IncomingMessage])[0].statusCode, 503);
    } finally {
      sandbox = before;
    }
    assert.equal((await ask(PRIVATE, '/', bearer(OWNER_KEY))).status, 200, 'as soon as it is paid');
  });

  test('[I-30] a link becomes a cookie that no script reads, and leaves no token in the address', async () => {
    const opened = await ask(LINKED, LINK_PATH + tokenFor(ports[0]!));
    assert.deepEqual([opened.status, opened.headers.location], [303, '/']);
    assert.equal(opened.headers['set-cookie']?.[0], `${cookie}; Path=/; HttpOnly; SameSite=Lax`);
    assert.equal(opened.headers['referrer-policy'], 'no-referrer');
    assert.equal((await ask(LINKED, `${LINK_PATH}wrong`)).status, 401);
  });

  test('the tenant sees its request, where it came from, and no credential of the platform', async () => {
    const more = { 'x-forwarded-for': '6.6.6.6', connection: 'close, x-secret-hop', 'x-secret-hop': '1' };
    const answer = await ask(LINKED, '/a?b=c', { ...bearer(OWNER_KEY), cookie: `${cookie}; own=1`, ...more }, 'body');
    const seen = JSON.parse(answer.text);
    assert.deepEqual([seen.method, seen.url, seen.body], ['POST', '/a?b=c', 'body']);
    assert.equal(seen.headers.cookie, 'own=1');
    assert.deepEqual([seen.headers.authorization, seen.headers['x-secret-hop']], [undefined, undefined]);
    assert.deepEqual(
      [seen.headers['x-forwarded-for'], seen.headers['x-forwarded-host']],
      ['127.0.0.1', hostOf(LINKED)],
    );
    assert.deepEqual(answer.headers['set-cookie'], ['a=1; Path=/', 'b=2; HttpOnly']);
    const basic = JSON.parse((await ask(LINKED, '/', { cookie, authorization: 'Basic eA==' })).text);
    assert.equal(basic.headers.authorization, 'Basic eA==', "the tenant's own credentials are its own");
    assert.equal((await ask(LINKED, '/hop', { cookie })).headers['x-hop'], undefined);
  });

  test('a WebSocket passes both ways; a foreign page opens none', async () => {
    const headers = { cookie, connection: 'Upgrade', upgrade: 'websocket' };
    const sent = send(LINKED, { path: '/ws', headers });
    sent.end();
    const [, socket] = (await once(sent, 'upgrade')) as [IncomingMessage, Duplex];
    socket.write('ping');
    assert.equal(String((await once(socket, 'data'))[0]), 'ping');
    listener.traffic.cut(SANDBOX, LINKED);
    socket.resume();
    await once(socket, 'close');
    const foreign = send(LINKED, { path: '/ws', headers: { ...headers, origin: 'http://evil.example' } });
    foreign.end();
    assert.equal(((await once(foreign, 'response')) as [IncomingMessage])[0].statusCode, 403);
  });

  test('a plain stream is for the owner only', async () => {
    const upgrade = { connection: 'Upgrade', upgrade: 'tally-port' };
    const linked = send(LINKED, { headers: { cookie, ...upgrade } });
    linked.end();
    assert.equal(((await once(linked, 'response')) as [IncomingMessage])[0].statusCode, 401);
    const own = send(PRIVATE, { headers: { ...bearer(OWNER_KEY), ...upgrade } });
    own.end();
    const [, socket] = (await once(own, 'upgrade')) as [IncomingMessage, Duplex];
    socket.end('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
    assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1.1 200/);
  });

  test('an answer that still streams is cut when the port closes, and traffic was recorded once', async () => {
    const sent = send(LINKED, { path: '/slow', headers: { cookie } });
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    await once(answer, 'data');
    listener.traffic.cut(SANDBOX, LINKED);
    await assert.rejects(textOf(answer));
    assert.deepEqual(recorded, [`${SANDBOX}:${LINKED}`]);
  });

  test('an ended sandbox has no ports', async () => {
    const before = sandbox;
    sandbox = { ...before, status: 'ended' };
    assert.equal((await ask(LINKED, '/', { cookie })).status, 401);
    assert.equal((await ask(PRIVATE, '/', bearer(OWNER_KEY))).status, 404);
    sandbox = before;
  });
});

test('every sandbox and port has a host name of its own, and only exact ones count', () => {
  const places = placesBelow('https://ports.example.org');
  assert.equal(places.urlOf({ sandbox: SANDBOX, port: 80 }), `https://p80-${HEX}.ports.example.org`);
  assert.deepEqual(places.placeOf(`P80-${HEX.toUpperCase()}.ports.example.org:443`), { sandbox: SANDBOX, port: 80 });
  const others = ['ports.example.org', `p080-${HEX}.ports.example.org`, `p65536-${HEX}.ports.example.org`];
  for (const host of [...others, `a.p80-${HEX}.ports.example.org`, `p80-${HEX}.evil.org`, '', undefined])
    assert.equal(places.placeOf(host), undefined, host);
});

test('heads: what belongs to one connection, or to the platform, stays', () => {
  const head = headForTenant({ 'transfer-encoding': 'chunked', te: 'trailers', forwarded: 'for=x', host: 'h' }, ORIGIN);
  assert.deepEqual(Object.keys(head).sort(), [
    'host',
    'transfer-encoding',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
  ]);
  assert.deepEqual(headFromTenant({ 'set-cookie': ['tally_port=1'], 'keep-alive': 'x' }), {});
  assert.equal(cookieIn({ cookie: 'a=1; tally_port=t; b=2' }, 'tally_port'), 't');
  assert.equal(isForeignPage({ origin: 'null', host: 'h' }), true);
});
