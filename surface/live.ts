/**
 * Serves live streams over WebSocket at /v1/live.
 * Promise: no mutation frame exists, no token stands in a URL, and every queue and wait has a limit.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { AUTH_WAIT_MS, LiveConnection, type LiveConnectionOptions } from './live-connection.ts';
import { HEARTBEAT_MS, LIVE_JSON, LIVE_PATH, LIVE_PROTO } from './live-protocols.ts';

export const CONNECTIONS_MAX = 10_000;
const FRAME_BYTES_MAX = 64 * 1024;
const RECONNECT_AFTER_MS = 250;
const DRAIN_MS_MAX = 2_000;

export interface LiveOptions extends Pick<LiveConnectionOptions, 'authenticate' | 'open' | 'log'> {
  heartbeatMs?: number;
  authWaitMs?: number;
  connectionsMax?: number;
}

export interface LiveServer extends AsyncDisposable {
  connectionCount(): number;
  /** Cuts every connection without a word, as a broken network would. */
  terminateAll(): void;
  /** Tells every reader to come back later, and closes; resolves when all are gone. */
  drain(): Promise<void>;
}

const chooseProtocol = (offered: Set<string>): string | false =>
  offered.has(LIVE_PROTO) ? LIVE_PROTO : offered.has(LIVE_JSON) ? LIVE_JSON : false;

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}

/** Adds live streams to an HTTP server; upgrades of other paths are left to others. */
export function attachLive(server: Server, options: LiveOptions): LiveServer {
  const { authWaitMs = AUTH_WAIT_MS, connectionsMax = CONNECTIONS_MAX, heartbeatMs = HEARTBEAT_MS } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
    handleProtocols: chooseProtocol,
  });
  const connections = new Map<WebSocket, LiveConnection>();
  let isDraining = false;

  /** Why an upgrade is refused; undefined when it is not. */
  const refusalStatus = (request: IncomingMessage): string | undefined => {
    if (isDraining || connections.size >= connectionsMax) return '503 Service Unavailable';
    const offered = String(request.headers['sec-websocket-protocol'] ?? '').split(/ *, */);
    return chooseProtocol(new Set(offered)) ? undefined : '400 Bad Request';
  };
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if ((request.url ?? '').split('?', 1)[0] !== LIVE_PATH) return;
    const status = refusalStatus(request);
    if (status) refuseUpgrade(socket, status);
    else
      sockets.handleUpgrade(request, socket, head, (opened) => {
        connections.set(opened, new LiveConnection(opened, { ...options, authWaitMs }));
        opened.once('close', () => connections.delete(opened));
      });
  };

  const heartbeat = setInterval(() => {
    for (const connection of connections.values()) connection.beat().catch(options.log);
  }, heartbeatMs);
  heartbeat.unref();
  server.on('upgrade', onUpgrade);

  const terminateAll = (): void => {
    for (const socket of connections.keys()) socket.terminate();
  };

  const drain = async (): Promise<void> => {
    isDraining = true;
    clearInterval(heartbeat);
    const gone = [...connections.keys()].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const connection of connections.values()) connection.goAway(RECONNECT_AFTER_MS);
    const timer = setTimeout(terminateAll, DRAIN_MS_MAX);
    await Promise.all(gone);
    clearTimeout(timer);
    server.off('upgrade', onUpgrade);
  };

  return { connectionCount: () => connections.size, terminateAll, drain, [Symbol.asyncDispose]: drain };
}
