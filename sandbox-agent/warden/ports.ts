/**
 * Streams to the ports of sandboxes: an upgraded connection of a caller, carried by the guest to a program inside.
 * Promise: bytes pass with back-pressure both ways; a stream ends with its sandbox, when it idles, and never holds a lease.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Fault, invalid, refused } from './fault.ts';
import type { Call, CallEvents, GuestLink } from './guest-link.ts';

/** What a caller must ask to be upgraded to. */
export const PORT_PROTOCOL = 'tally-port';
/** Streams that one sandbox may have at once. */
export const PORT_STREAMS_MAX = 64;
/** A stream on which nothing moves for this long is closed. */
export const PORT_IDLE_MS_MAX = 600_000;
const CONNECT_MS_MAX = 10_000;
const PORT_MAX = 65_535;

const streamsOf = new WeakMap<GuestLink, number>();

/** @errors throws Fault `invalid`. */
export function portOf(text: string): number {
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > PORT_MAX) throw invalid(`a port is 1 to ${PORT_MAX}`);
  return port;
}

function takeSlot(link: GuestLink): () => void {
  const open = streamsOf.get(link) ?? 0;
  if (open >= PORT_STREAMS_MAX) {
    const facts = { cap: PORT_STREAMS_MAX, asked: 1, available: 0 };
    throw new Fault('busy', 'too_many_port_streams', `at most ${PORT_STREAMS_MAX} streams to one sandbox`, facts);
  }
  streamsOf.set(link, open + 1);
  let isHeld = true;
  return () => {
    if (isHeld) streamsOf.set(link, (streamsOf.get(link) ?? 1) - 1);
    isHeld = false;
  };
}

const portFault = (code: string): Fault =>
  code === 'ECONNREFUSED'
    ? refused('port_closed', 'nothing listens on that port of the sandbox', { cause: code })
    : refused('port_fault', 'the sandbox could not connect to that port', { cause: code });

/** A caller's connection that has asked for an upgrade; `head` was read from it already. */
export interface Upgraded {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

/** Bytes of the caller to the program, at the program's pace. */
async function carryIn(socket: Duplex, call: Call, stir: () => void): Promise<void> {
  for await (const bytes of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    stir();
    if (!(await call.write(bytes))) return;
  }
  call.end();
}

function answerUpgrade({ socket, head }: Upgraded): void {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PORT_PROTOCOL}\r\n\r\n`);
  if (head.length > 0) socket.unshift(head);
}

/**
 * Connects the caller to the port; `onTraffic` hears whenever bytes pass. Resolves when the program inside has accepted.
 * @errors rejects with Fault `invalid`, `too_many_port_streams`, `port_closed`, `port_fault` or `sandbox_lost`; nothing
 * was written to the caller then
 */
export function carryPort(link: GuestLink, port: number, caller: Upgraded, onTraffic: () => void): Promise<void> {
  const { socket, request } = caller;
  if (request.headers.upgrade !== PORT_PROTOCOL) throw invalid(`needs Upgrade: ${PORT_PROTOCOL}`);
  const release = takeSlot(link);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let isConnected = false;
  const close = (): void => {
    clearTimeout(timer);
    release();
  };
  const over = (fault: Fault): void => {
    close();
    reject(fault);
    // What was written before still goes out.
    if (isConnected) socket.end(() => socket.destroy());
  };
  const stir = (): void => {
    timer.refresh();
    onTraffic();
  };
  const connected = (): void => {
    isConnected = true;
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(), PORT_IDLE_MS_MAX);
    answerUpgrade(caller);
    carryIn(socket, call, stir).catch(() => socket.destroy());
    resolve();
  };
  const tooLate = (): void => {
    call.cancel();
    over(refused('port_fault', `no connection within ${CONNECT_MS_MAX} ms`, { cause: 'timeout' }));
  };
  let timer = setTimeout(tooLate, CONNECT_MS_MAX);
  const call = openDial(link, port, close, {
    onBytes: (_, bytes) => {
      stir();
      socket.write(bytes, () => call.credit(bytes.length));
    },
    onMeta: ({ eof }) => void (isConnected ? eof === true && socket.end() : connected()),
    onEnd: () => over(portFault('closed')),
    onFault: (code) => over(portFault(code)),
    onLost: () => over(new Fault('gone', 'sandbox_lost', 'the sandbox ended meanwhile')),
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    close();
    call.cancel();
    reject(new Fault('gone', 'caller_gone', 'the caller went away'));
  });
  return promise;
}

function openDial(link: GuestLink, port: number, onRefused: () => void, events: CallEvents): Call {
  try {
    return link.open('dial', { port }, events);
  } catch (fault) {
    onRefused();
    throw fault;
  }
}
