/**
 * `tally port`: what listens in a sandbox, reached from outside.
 * Promise: a forwarded port listens on this machine's loopback only, and every connection to it is one stream to the sandbox.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { type Port, PortSchema, plain, type Sandbox } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { type Io, write } from '../io.ts';
import type { Column, PlainObject } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, count, duration, given, idOf, onRun, type Run, type World, withKey } from './command.ts';

const PORT_MAX = 65_535;
const LOOPBACK = '127.0.0.1';
const FORWARDED_MAX = 32;

const COLUMNS: Column[] = [
  { field: 'port', heading: 'PORT' },
  { field: 'visibility', heading: 'VISIBILITY' },
  { field: 'expires_at', heading: 'EXPIRES' },
  { field: 'url', heading: 'URL' },
];

const withSandbox = (command: Command): Command =>
  command.addArgument(new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx')));
const withPort = (command: Command): Command =>
  withSandbox(command).addArgument(new Argument('<port>', 'the port inside').argParser(count(1, PORT_MAX)));
const jsonOf = (port: Port): PlainObject => plain(PortSchema, port) as PlainObject;

export function addPortCommands(program: Command, world: World): void {
  const port = program.command('port').summary('reach what listens in a sandbox').description('Ports of sandboxes.');
  addExpose(port, world);
  const list = addCommand(port, { usage: 'list', summary: 'open ports', examples: ['tally port list sbx_0192…'] });
  onRun(world, withSandbox(list), async ({ out, connect }, [id]) => {
    const ports = await (await connect()).sandboxes.attach(id!).ports();
    await out.list('ports', ports.map(jsonOf), COLUMNS);
  });
  const close = addCommand(port, {
    usage: 'close',
    summary: 'close a port: its links are void and its connections are cut',
    examples: ['tally port close sbx_0192… 8080'],
  });
  onRun<{ key?: string }>(world, withKey(withPort(close)), async ({ out, connect }, [id, number], { key }) => {
    const closed = await (await connect()).sandboxes.attach(id!).closePort(Number(number), given({ key }));
    await out.record(jsonOf(closed));
  });
  addForward(port, world);
}

interface ExposeWishes {
  link?: boolean;
  ttl?: bigint;
  key?: string;
}

function addExpose(port: Command, world: World): void {
  const expose = addCommand(port, {
    usage: 'expose',
    summary: 'open a port to the outside, for your API keys or for whoever has a link',
    examples: ['tally port expose sbx_0192… 8080', 'tally port expose sbx_0192… 8080 --link --ttl 10m'],
  });
  withKey(withPort(expose))
    .option('--link', 'also make a signed link that lets in whoever opens it')
    .option('--ttl <time>', 'how long it stays open (default: 1h for a link, else as long as the sandbox)', duration);
  onRun<ExposeWishes>(world, expose, async ({ out, connect }, [id, number], { link, ttl, key }) => {
    const sandbox = (await connect()).sandboxes.attach(id!);
    const visibility = link ? 'link' : 'private';
    await out.record(jsonOf(await sandbox.exposePort(Number(number), { visibility, ...given({ ttlMs: ttl, key }) })));
  });
}

function addForward(port: Command, world: World): void {
  const forward = addCommand(port, {
    usage: 'forward',
    summary: 'listen here and carry every connection to a port of the sandbox, until interrupted',
    examples: ['tally port forward sbx_0192… 5432', 'tally port forward sbx_0192… 8080 --listen 18080'],
  });
  withPort(forward).option('--listen <port>', 'port here, on loopback (default: any free one)', count(0, PORT_MAX));
  onRun<{ listen?: number }>(world, forward, forwardPort);
}

async function forwardPort({ io, out, connect }: Run, [id, number]: string[], { listen = 0 }: { listen?: number }) {
  const sandbox = (await connect()).sandboxes.attach(id!);
  const open = (await sandbox.ports()).find(({ port }) => port === Number(number));
  const port = open ?? (await sandbox.exposePort(Number(number)));
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    void carry(io, sandbox, port, socket);
  });
  server.maxConnections = FORWARDED_MAX;
  await listening(server, listen);
  const { port: here } = server.address() as AddressInfo;
  await out.record({ listen: `${LOOPBACK}:${here}`, sandbox_id: id!, port: Number(number) });
  await interrupted(io);
  for (const socket of sockets) socket.destroy();
  server.close();
}

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, LOOPBACK);
  await once(server, 'listening').catch((fault: Error) => {
    throw new UsageError(`Cannot listen on ${LOOPBACK}:${port}: ${fault.message}.`, 'Choose another --listen.');
  });
}

function interrupted(io: Io): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const release = io.onInterrupt(resolve);
  return promise.finally(release);
}

/** One connection; that it fails is told and ends nothing else. */
async function carry(io: Io, sandbox: Sandbox, port: Port, socket: Socket): Promise<void> {
  socket.on('error', () => socket.destroy());
  try {
    const stream = await sandbox.connectPort(port);
    await Promise.all([pipeline(socket, stream), pipeline(stream, socket)]).catch(() => undefined);
    stream.destroy();
  } catch (fault) {
    await write(io.stderr, `tally: ${(fault as Error).message}\n`);
  }
  socket.destroy();
}
