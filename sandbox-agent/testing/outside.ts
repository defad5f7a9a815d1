/**
 * The outside that tests of ways out need: a name server whose answers a test writes, and servers that are reached.
 * Promise: loopback only, ports of the system's choice, gone when the test is over.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

const HEADER_BYTES = 12;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const ANSWER_OK = 0x8180;
const NO_SUCH_NAME = 0x8183;

/** Name -> addresses, or what to answer the n-th time it is asked. */
export type Zone = Record<string, string[] | ((times: number) => string[])>;

interface Question {
  name: string;
  type: number;
  end: number;
}

function questionOf(message: Buffer): Question {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  while (message[at] !== 0) {
    const length = message[at] as number;
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

const bytesOfV6 = (address: string): Buffer => {
  const [left = '', right = ''] = address.split('::').map((side) => side.split(':').filter(Boolean)) as unknown as [
    string[],
    string[],
  ];
  const missing = 8 - left.length - right.length;
  const groups = [...left, ...Array(missing).fill('0'), ...right];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
};

function recordOf(address: string): Buffer {
  const isV6 = address.includes(':');
  const data = isV6 ? bytesOfV6(address) : Buffer.from(address.split('.').map(Number));
  const head = Buffer.from([0xc0, HEADER_BYTES, 0, isV6 ? TYPE_AAAA : TYPE_A, 0, 1, 0, 0, 0, 0, 0, data.length]);
  return Buffer.concat([head, data]);
}

/** `asked` grows with every question: what is not asked was not looked up. */
export async function nameServer(context: TestContext, zone: Zone) {
  const asked: string[] = [];
  const server = createSocket('udp4');
  server.on('message', (message, from) => {
    const { name, type, end } = questionOf(message);
    if (type === TYPE_A) asked.push(name);
    const known = zone[name];
    const times = asked.filter((one) => one === name).length;
    const all = typeof known === 'function' ? known(times) : (known ?? []);
    const fitting = all.filter((address) => address.includes(':') === (type === TYPE_AAAA));
    const head = Buffer.from(message.subarray(0, end));
    head.writeUInt16BE(known ? ANSWER_OK : NO_SUCH_NAME, 2);
    head.writeUInt16BE(fitting.length, 6);
    head.writeUInt32BE(0, 8);
    server.send(Buffer.concat([head, ...fitting.map(recordOf)]), from.port, from.address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return { asked, address: `127.0.0.1:${server.address().port}` };
}

async function portOf(context: TestContext, server: ReturnType<typeof createServer>): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** Answers every request with what it was asked, as JSON. */
export async function webServer(context: TestContext) {
  const heard: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];
  const server = createHttpServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
    heard.push(one);
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ hello: one.url, body }));
  });
  return { heard, port: await portOf(context, server as unknown as ReturnType<typeof createServer>) };
}

/** Says back what it hears. */
export async function echoServer(context: TestContext) {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.pipe(socket);
  });
  return { sockets, port: await portOf(context, server) };
}
