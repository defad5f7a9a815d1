/**
 * Makes closing a server take a bounded time.
 * Promise: requests in progress get a grace time; connections that never asked anything get none.
 */
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

const CLOSE_GRACE_MS = 5_000;

/** Node's close waits for clients that connected ahead of need, as browsers and fetch do; this ends them. */
export function boundClose(app: FastifyInstance): void {
  const silent = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
  });
  app.server.prependListener('request', (request) => silent.delete(request.socket));
  app.server.prependListener('upgrade', (request) => silent.delete(request.socket));
  app.addHook('preClose', (done) => {
    for (const socket of silent) socket.destroy();
    const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_MS);
    timer.unref();
    app.server.once('close', () => clearTimeout(timer));
    done();
  });
}
