/**
 * The sandbox's end of the way out: a proxy port on its own loopback, carried to the machine's broker.
 * Promise: it decides nothing and reads nothing of what passes; there is no way around the broker to be found here.
 */
import { createConnection as connectBroker, createServer as createProxy, type Socket } from 'node:net';
import type { Work } from './exec.ts';
import type { Done } from './files.ts';
import { Kind } from './frame.ts';
import type { Send } from './outflow.ts';

const BROKER_SOCKET = '/run/guest/egress.sock';
const PROXY_HOST = '127.0.0.1';
const PROXY_CONNECTIONS_MAX = 128;

/** Says `meta {listening}` once, and goes on until it is cancelled. */
export function startForward(request: { port: number }, send: Send, done: Done): Work {
  const open = new Set<Socket>();
  const keep = (socket: Socket, other: () => Socket): void => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      open.delete(socket);
      other().destroySoon();
    });
  };
  const proxy = createProxy({ allowHalfOpen: true }, (program) => {
    const broker = connectBroker({ path: BROKER_SOCKET, allowHalfOpen: true });
    keep(program, () => broker);
    keep(broker, () => program);
    program.pipe(broker);
    broker.pipe(program);
  });
  proxy.maxConnections = PROXY_CONNECTIONS_MAX;
  proxy.on('error', (fault: NodeJS.ErrnoException) => {
    done(Kind.fault, { code: fault.code, message: fault.message });
  });
  proxy.listen(request.port, PROXY_HOST, () => send(Kind.meta, { listening: true }));
  const close = (): void => {
    proxy.close();
    for (const socket of open) socket.destroy();
  };
  return { data: () => {}, dataEnd: () => {}, credit: () => {}, signal: () => {}, cancel: close };
}
