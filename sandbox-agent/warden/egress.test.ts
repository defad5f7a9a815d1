// Ways out of a real sandbox: what is named passes by every road, nothing else does, and nothing passes unpaid.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { echoServer, nameServer, webServer, type Zone } from '../testing/outside.ts';
import { temporaryFolder, ticketOf, until } from '../testing/rig.ts';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import type { EgressDecision } from './egress-decisions.ts';

const OPENED = ['--egress-private', '127.0.0.0/8'];
let execs = 0;

interface Ran {
  code: number;
  out: string;
  err: string;
}

/** Runs to the end. */
async function run(warden: WardenProcess, argv: string[]): Promise<Ran> {
  const exec_id = `e${++execs}`;
  const started = await warden.call('POST', '/v1/sandboxes/s0/execs', { exec_id, argv, timeout_ms: 20_000 });
  assert.equal(started.status, 200, started.bytes.toString());
  const { json } = await warden.call('GET', `/v1/sandboxes/s0/execs/${exec_id}?wait_ms=20000`);
  const { json: page } = await warden.call('GET', `/v1/sandboxes/s0/execs/${exec_id}/output`);
  const text = (stream: number): string =>
    page.chunks
      .filter((chunk: { stream: number }) => chunk.stream === stream)
      .map((chunk: { bytes_base64: string }) => Buffer.from(chunk.bytes_base64, 'base64').toString())
      .join('');
  return { code: json.end.code ?? -1, out: text(1), err: text(2) };
}

const curl = (warden: WardenProcess, ...words: string[]): Promise<Ran> =>
  run(warden, ['curl', '-sS', '--max-time', '15', ...words]);
const node = (warden: WardenProcess, source: string): Promise<Ran> => run(warden, ['node', '-e', source]);

async function decisions(warden: WardenProcess): Promise<EgressDecision[]> {
  return (await warden.call('GET', '/v1/sandboxes/s0/egress')).json.decisions;
}

const said = ({ outcome, via, host, port, reason }: EgressDecision): string =>
  [outcome, via, `${host}:${port}`, reason].filter((word) => word !== null && word !== '').join(' ');

const allowlist = (allow: string[], serial = 1) => ({ serial, mode: 'allowlist', allow });
const replace = (warden: WardenProcess, policy: object) =>
  warden.call('PUT', '/v1/sandboxes/s0/egress', { incarnation: 1, ...policy });

/** A warden that looks names up in `zone` and lets out to this machine's loopback; a sandbox with these rules. */
async function outTo(context: TestContext, zone: Zone, allow: string[], more: string[] = OPENED) {
  const names = await nameServer(context, zone);
  const warden = await wardenFor(context, temporaryFolder(), [...more, '--egress-resolver', names.address]);
  const created = await warden.create(120_000, { egress: allowlist(allow) }, ticketOf(120_000));
  assert.equal(created.status, 200, created.bytes.toString());
  return { warden, names };
}

test('[I-37] what a rule names is reached by curl, git and node as they are; what none names is not even looked up', async (context) => {
  const web = await webServer(context);
  const { warden, names } = await outTo(context, { 'web.test': ['127.0.0.1'] }, [`web.test:${web.port}`]);
  const url = `http://web.test:${web.port}`;
  const got = await curl(warden, '-d', 'some body', `${url}/a?b=%20c`);
  assert.deepEqual([got.code, JSON.parse(got.out)], [0, { hello: '/a?b=%20c', body: 'some body' }], got.err);
  assert.equal(web.heard[0]?.headers.host, `web.test:${web.port}`);
  assert.equal(web.heard[0]?.headers['proxy-connection'], undefined);
  const tunnelled = await curl(warden, '-p', `${url}/tunnel`);
  assert.match(tunnelled.out, /tunnel/);
  const socks = await curl(warden, '--proxy', 'socks5h://127.0.0.1:3128', `${url}/socks`);
  assert.match(socks.out, /socks/, socks.err);
  const fetched = await node(warden, `fetch('${url}/fetch').then((r) => r.text()).then(console.log)`);
  assert.match(fetched.out, /fetch/, fetched.err);
  await run(warden, ['git', 'ls-remote', `${url}/repo.git`]);
  assert.ok(web.heard.some((one) => one.url.startsWith('/repo.git/info/refs')));
  const denied = await curl(warden, '-w', '%{http_code}', 'http://other.test/');
  assert.match(denied.out, /"code":"egress_denied","reason":"no_rule".*403/s);
  const noTunnel = await curl(warden, 'https://other.test/');
  assert.match(noTunnel.err, /403/);
  assert.deepEqual([...new Set(names.asked)], ['web.test']);
  const told = (await decisions(warden)).map(said);
  const target = `web.test:${web.port}`;
  for (const line of [`allowed http ${target}`, `allowed connect ${target}`, `allowed socks ${target}`])
    assert.ok(told.includes(line), `${line} in ${told.join(', ')}`);
  assert.ok(
    told.includes('denied http other.test:80 no_rule') && told.includes('denied connect other.test:443 no_rule'),
  );
  const closed = (await decisions(warden)).find((one) => one.outcome === 'closed' && one.via === 'connect');
  assert.ok(closed && closed.bytes_out > 50 && closed.bytes_in > 50, JSON.stringify(closed));
  assert.equal(closed.address, '127.0.0.1');
});

test('without a policy there is no socket to ask at and no variable; raw sockets lead nowhere either way', async (context) => {
  const web = await webServer(context);
  const { warden } = await outTo(context, {}, [`127.0.0.1:${web.port}`]);
  const direct = `require('net').connect(${web.port}, '127.0.0.1').on('error', (e) => console.log(e.code)).on('connect', () => console.log('in'))`;
  assert.equal((await node(warden, direct)).out, 'ECONNREFUSED\n', 'its loopback is its own');
  const far = `require('net').connect(80, '1.1.1.1').on('error', (e) => console.log(e.code))`;
  assert.equal((await node(warden, far)).out, 'ENETUNREACH\n');
  const udp = `require('dgram').createSocket('udp4').on('error', (e) => console.log(e.code)).send('x', 53, '8.8.8.8', (e) => { console.log(e?.code); process.exit() })`;
  assert.match((await node(warden, udp)).out, /ENETUNREACH/);
  assert.match((await run(warden, ['env'])).out, /HTTPS_PROXY=http:\/\/127\.0\.0\.1:3128/);
  assert.equal((await replace(warden, { serial: 2, mode: 'none', allow: [] })).status, 200);
  assert.doesNotMatch((await run(warden, ['env'])).out, /proxy/i);
  const gone = await run(warden, ['curl', '-sS', '--proxy', 'http://127.0.0.1:3128', `http://127.0.0.1:${web.port}/`]);
  assert.equal(gone.code, 7, gone.err);
  const socket = `require('net').connect('/run/guest/egress.sock').on('error', (e) => console.log(e.code))`;
  assert.equal((await node(warden, socket)).out, 'ENOENT\n');
  assert.equal(web.heard.length, 0);
});

test('[I-37] a name that points inside is refused, also when it did not at first, and whatever its answer is wrapped in', async (context) => {
  const web = await webServer(context);
  const hosts: Record<string, string[]> = {
    'loop.test': ['127.0.0.1'],
    'six.test': ['::1'],
    'mapped.test': ['::ffff:7f00:1'],
    'nat64.test': ['64:ff9b::7f00:1'],
    'sixtofour.test': ['2002:7f00:1::1'],
    'meta.test': ['169.254.169.254'],
    'lan.test': ['192.168.0.1', '10.0.0.1'],
    'ula.test': ['fd00::1'],
  };
  const rebinding = (times: number): string[] => (times === 1 ? ['192.0.2.1'] : ['127.0.0.1']);
  const zone = { ...hosts, 'rebind.test': rebinding };
  const { warden, names } = await outTo(
    context,
    zone,
    ['*.test:*', '127.0.0.0/8:*', '[::]/0:*'.replace('[::]/0', '[::/0]')],
    [],
  );
  for (const host of [...Object.keys(hosts), 'rebind.test', 'rebind.test'])
    await curl(warden, `http://${host}:${web.port}/`);
  for (const literal of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '[fe80::1]'])
    await curl(warden, '--noproxy', '', '-p', `http://${literal}:${web.port}/`);
  const told = (await decisions(warden)).map(({ outcome, host, reason }) => `${outcome} ${host} ${reason}`);
  assert.deepEqual(told, [
    'denied loop.test loopback',
    'denied six.test loopback',
    'denied mapped.test loopback',
    'denied nat64.test loopback',
    'denied sixtofour.test loopback',
    'denied meta.test metadata',
    'denied lan.test private',
    'denied ula.test private',
    'denied rebind.test documentation',
    'denied rebind.test loopback',
    'denied 127.0.0.1 loopback',
    'denied ::1 loopback',
    'denied ::ffff:7f00:1 loopback',
    'denied fe80::1 link_local',
  ]);
  assert.equal(names.asked.filter((name) => name === 'rebind.test').length, 2, 'one look-up for one decision');
  assert.equal(web.heard.length, 0);
});

test('[I-37] the address that was checked is the address that is used: a second answer changes nothing', async (context) => {
  const web = await webServer(context);
  const opened = ['--egress-private', '127.0.0.1/32'];
  const zone = { 'flip.test': (times: number) => (times === 1 ? ['127.0.0.1'] : ['127.0.0.2']) };
  const { warden, names } = await outTo(context, zone, ['flip.test:*'], opened);
  const first = await curl(warden, `http://flip.test:${web.port}/one`, `http://flip.test:${web.port}/two`);
  assert.match(first.out, /one/);
  assert.doesNotMatch(first.out, /two/);
  const told = (await decisions(warden))
    .filter((one) => one.outcome !== 'closed')
    .map(({ outcome, address, reason }) => [outcome, address, reason]);
  assert.deepEqual(told, [
    ['allowed', '127.0.0.1', null],
    ['denied', null, 'loopback'],
  ]);
  assert.equal(names.asked.length, 2);
});

test('a new policy holds for new connections and cuts those it no longer names; an older one changes nothing', async (context) => {
  const [one, two] = [await echoServer(context), await echoServer(context)];
  const rules = [`127.0.0.1:${one.port}`, `127.0.0.1:${two.port}`];
  const { warden } = await outTo(context, {}, rules);
  const talk = (port: number) => `
    const s = require('net').connect(3128, '127.0.0.1');
    s.write('CONNECT 127.0.0.1:${port} HTTP/1.1\\r\\n\\r\\n');
    s.on('data', (d) => process.stdout.write(d)).on('close', () => { console.log('closed'); process.exit(); });`;
  const start = (exec_id: string, port: number) =>
    warden.call('POST', '/v1/sandboxes/s0/execs', { exec_id, argv: ['node', '-e', talk(port)] });
  await start('kept', one.port);
  await start('cut', two.port);
  await until(() => one.sockets.length === 1 && two.sockets.length === 1);
  const changed = await replace(warden, { serial: 3, mode: 'allowlist', allow: [rules[0]] });
  assert.deepEqual([changed.json.serial, changed.json.allow, changed.json.open], [3, [rules[0]], 1]);
  const cut = await warden.call('GET', '/v1/sandboxes/s0/execs/cut?wait_ms=10000');
  assert.equal(cut.json.state, 'ended');
  assert.ok((await decisions(warden)).map(said).includes(`closed connect 127.0.0.1:${two.port} policy_changed`));
  const late = await replace(warden, { serial: 2, mode: 'none', allow: [] });
  assert.deepEqual([late.json.serial, late.json.mode], [3, 'allowlist']);
  const { json } = await warden.call('GET', '/v1/sandboxes/s0/execs/kept');
  assert.equal(json.state, 'running');
  one.sockets[0]?.write('still here');
  const output = async () => (await warden.call('GET', '/v1/sandboxes/s0/execs/kept/output')).json.stdout_bytes;
  await until(async () => (await output()) >= 'still here'.length + 30);
  assert.ok(await warden.has('egress_changed'));
});

test('[I-01] while it stands still nothing passes, and what waited passes when it is paid again', async (context) => {
  const echo = await echoServer(context);
  const names = await nameServer(context, {});
  const warden = await wardenFor(context, temporaryFolder(), [...OPENED, '--egress-resolver', names.address]);
  const paid = ticketOf(8_000);
  await warden.create(8_000, { egress: allowlist([`127.0.0.1:${echo.port}`]) }, paid);
  const source = `
    const s = require('net').connect(3128, '127.0.0.1');
    s.write('CONNECT 127.0.0.1:${echo.port} HTTP/1.1\\r\\n\\r\\n');
    s.on('data', () => undefined);
    setInterval(() => s.write('tick'), 5);`;
  await warden.call('POST', '/v1/sandboxes/s0/execs', { exec_id: 'ticks', argv: ['node', '-e', source] });
  await until(() => (echo.sockets[0]?.bytesRead ?? 0) > 100);
  await until(() => warden.has('frozen'), 20_000);
  const socket = echo.sockets[0]!;
  await until(async () => {
    const before = socket.bytesRead;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return socket.bytesRead === before;
  });
  const frozenAt = socket.bytesRead;
  const inside = async (): Promise<number> => (await warden.call('GET', '/v1/sandboxes/s0/egress')).json.bytes_in;
  assert.equal(await inside(), 0, 'counted when it is closed');
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(socket.bytesRead, frozenAt);
  const renewed = await warden.call('POST', '/v1/sandboxes/s0/renew', { ticket: ticketOf(30_000, { seq: 2 }) });
  assert.equal(renewed.status, 200);
  await until(() => socket.bytesRead > frozenAt + 100);
  await warden.call('POST', '/v1/sandboxes/s0/finish', { incarnation: 1, reason: 'stopped_by_owner' });
  await until(() => socket.destroyed || socket.readableEnded || socket.closed);
  const last = (await decisions(warden)).at(-1);
  assert.deepEqual([last?.outcome, last?.reason], ['closed', 'sandbox_ended']);
  assert.ok((last?.bytes_out ?? 0) > 200);
});

test('a hostile guest: garbage, endless heads, half requests and floods cost it its own connections only', async (context) => {
  const web = await webServer(context);
  const { warden } = await outTo(context, {}, [`127.0.0.1:${web.port}`]);
  const flood = `
    const net = require('net');
    const path = '/run/guest/egress.sock';
    const garbage = [Buffer.alloc(1), Buffer.alloc(200000, 255), Buffer.from([5]), Buffer.from([5, 255]), Buffer.from([5, 1, 0, 5, 1, 0, 3, 255]),
      Buffer.from([5, 1, 0, 5, 2, 0, 1, 1, 2, 3, 4, 0, 80]), Buffer.from([5, 1, 0, 5, 1, 0, 9]), Buffer.from([5, 1, 2]),
      'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n', 'CONNECT a HTTP/1.1\\r\\n\\r\\n', 'CONNECT a:99999 HTTP/1.1\\r\\n\\r\\n', 'CONNECT a@b:1 HTTP/1.1\\r\\n\\r\\n',
      'GET http://a\\r\\n', 'GET http://user:pw@127.0.0.1:${web.port}/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n', 'GET https://127.0.0.1/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n',
      'GET http://a/ HTTP/1.1\\r\\nX: ' + 'x'.repeat(100000), 'POST http://127.0.0.1:${web.port}/ HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\n\\r\\n'];
    let left = garbage.length * 20;
    const over = () => { left -= 1; if (left === 0) { console.log('over'); process.exit(); } };
    for (let round = 0; round < 20; round += 1) for (const bytes of garbage) {
      const s = net.connect(path, () => { s.write(bytes, () => setTimeout(() => s.destroy(), 50)); });
      s.on('error', () => {}).on('close', over).resume();
    }`;
  assert.equal((await node(warden, flood)).out, 'over\n');
  const asks = `
    const net = require('net');
    let left = 1500; let busy = 0;
    const more = () => { if (left === 0 && busy === 0) { console.log('over'); process.exit(); }
      while (busy < 50 && left > 0) { left -= 1; busy += 1;
        const s = net.connect('/run/guest/egress.sock', () => s.write('CONNECT x' + left + '.evil:443 HTTP/1.1\\r\\n\\r\\n'));
        s.on('error', () => {}).on('data', () => s.destroy()).on('close', () => { busy -= 1; more(); }); } };
    more();`;
  assert.equal((await node(warden, asks)).out, 'over\n');
  const still = await curl(warden, '--noproxy', '', `http://127.0.0.1:${web.port}/still`);
  assert.match(still.out, /still/, still.err);
  assert.ok(!web.heard.some((one) => one.url.includes('smuggled')));
  const page = (await warden.call('GET', '/v1/sandboxes/s0/egress')).json;
  assert.ok(page.denied >= 1_500, String(page.denied));
  assert.ok(page.decisions.length <= 200);
  const all: EgressDecision[] = [];
  for (let after = 0; ; ) {
    const { json } = await warden.call('GET', `/v1/sandboxes/s0/egress?after=${after}`);
    if (json.decisions.length === 0) break;
    all.push(...json.decisions);
    after = json.next_after;
  }
  assert.ok(all.length < 1_000, `${all.length} lines`);
  assert.ok(all.some((one) => one.outcome === 'suppressed' && one.count > 10));
});

test('a policy that is none is refused before anything is made', async (context) => {
  const warden = await wardenFor(context);
  const bad = await warden.create(60_000, { egress: allowlist(['a b']) });
  assert.deepEqual([bad.status, bad.json.code], [400, 'invalid']);
  const open = await warden.create(60_000, { egress: { serial: 1, mode: 'open', allow: [] } });
  assert.deepEqual(
    [open.status, open.json.code, open.json.cap, open.json.asked, open.json.available],
    [422, 'egress_not_offered', 'egress', 'open', 'none allowlist'],
  );
  const good = await warden.create(60_000);
  assert.equal(good.status, 200);
  const later = await replace(warden, { serial: 1, mode: 'open', allow: [] });
  assert.equal(later.json.code, 'egress_not_offered');
  const other = await warden.call('PUT', '/v1/sandboxes/s0/egress', { incarnation: 2, ...allowlist([]) });
  assert.equal(other.json.code, 'other_incarnation');
  const listed = await replace(warden, allowlist(['Example.COM']));
  assert.deepEqual([listed.status, listed.json.allow], [200, ['example.com:443']]);
});
