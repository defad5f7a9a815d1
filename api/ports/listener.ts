/**
 * The listener for the ports of sandboxes: a server of its own, so that no tenant's page shares an origin with the api.
 * Promise: nothing is answered without a credential but 401; tokens and keys stand in no log and reach no tenant.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Fault } from '@tallystick/engine';
import { type Provider, ProviderFault } from '@tallystick/engine/adapters/provider';
import { ApiRefusal } from '@tallystick/surface';
import { carryRequest, carryWebSocket, HEAD_BYTES_MAX, join } from './carry.ts';
import {
  type Admitted,
  admit,
  type Credentials,
  credentialsIn,
  type GateOptions,
  isFromElsewhere,
  type Refused,
} from './gate.ts';
import { LINK_COOKIE } from './heads.ts';
import { LOCAL_DOMAIN, type Places, type PortPlace, placesBelow } from './place.ts';
import { type Passage, portTraffic, type Traffic } from './traffic.ts';

/** A link is this path and its token; opening it sets a cookie and leads to the root. */
export const LINK_PATH = '/.tally/link/';
/** Asked for with an API key, it is a plain stream to the port. */
export const STREAM_PROTOCOL = 'tally-port';

const CONNECTIONS_MAX = 4_096;
const HEAD_MS_MAX = 10_000;
const KEEP_ALIVE_MS = 5_000;
const US_PER_SECOND = 1_000_000n;

export interface PortListenerOptions extends GateOptions {
  provider: Provider;
  host: string;
  port: number;
  /** The URL above all ports; absent: below localhost at the port that it listens on. */
  publicUrl: string | undefined;
  recordActivity(passage: Passage): Promise<unknown>;
  onFault(fault: unknown): void;
}

export interface PortListener extends AsyncDisposable {
  /** The listener itself, for whoever brings a Host of his own. */
  url: string;
  places: Places;
  traffic: Traffic;
}

interface Parts extends PortListenerOptions {
  places: Places;
  traffic: Traffic;
}

type Status = 400 | 401 | 402 | 403 | 404 | 502 | 503;
const WORDS: Record<Status, string> = {
  400: 'Only WebSocket and tally-port connections are understood.',
  401: 'This port needs the link, or an API key of its owner with the scope sandboxes:ports.',
  402: 'The sandbox stands still because its account has no money: top it up, and it goes on at once.',
  403: 'A page of another host may not use this port with your link.',
  404: 'This port is not open.',
  502: 'Nothing in the sandbox answers on this port.',
  503: 'The sandbox cannot be reached at this moment.',
};
const REFUSAL: Record<Refused['refused'], Status> = { who: 401, where: 404, page: 403 };

/** Listens when it resolves. */
export async function listenForPorts(options: PortListenerOptions): Promise<PortListener> {
  const server = createServer({ maxHeaderSize: HEAD_BYTES_MAX });
  server.maxConnections = CONNECTIONS_MAX;
  server.headersTimeout = HEAD_MS_MAX;
  server.requestTimeout = 0;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((done, fail) => server.once('error', fail).listen(options.port, options.host, done));
  const { port } = server.address() as AddressInfo;
  const traffic = portTraffic(options.recordActivity, options.onFault);
  const places = placesBelow(options.publicUrl ?? `http://${LOCAL_DOMAIN}:${port}`);
  const parts: Parts = { ...options, places, traffic };
  server.on('request', (request, response) => {
    answer(parts, request, response).catch((fault) => refuse(response, statusOf(parts, fault)));
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    upgrade(parts, request, socket, head).catch((fault) => refuseBare(socket, statusOf(parts, fault)));
  });
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`,
    places,
    traffic,
    [Symbol.asyncDispose]: () => close(server, traffic),
  };
}

async function close(server: Server, traffic: Traffic): Promise<void> {
  await traffic[Symbol.asyncDispose]();
  const closed = new Promise((done) => server.close(done));
  server.closeAllConnections();
  await closed;
}

function statusOf({ onFault }: Parts, fault: unknown): Status {
  if (fault instanceof ProviderFault) return fault.kind === 'unreachable' ? 503 : 502;
  // the database did not answer; what a program in a sandbox does wrongly is its own affair
  if (!(fault instanceof Fault) && !(fault instanceof ApiRefusal)) return 502;
  onFault(fault);
  return 503;
}

/** The answer of the listener itself; pages of tenants never look so. */
function refuse(response: ServerResponse, status: Status): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
  response.end(`${WORDS[status]}\n`);
}

function refuseBare(socket: Duplex, status: Status): void {
  if (socket.destroyed) return;
  const text = `${WORDS[status]}\n`;
  const head = `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(text)}`;
  socket.end(`HTTP/1.1 ${status} Refused\r\n${head}\r\nconnection: close\r\n\r\n${text}`);
}

async function answer(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const place = parts.places.placeOf(request.headers.host);
  if (!place) return refuse(response, 404);
  if (request.url?.startsWith(LINK_PATH)) return openLink(parts, place, request, response);
  const credentials = credentialsIn(request.headers);
  const admitted = await admitFor(parts, place, credentials, request);
  if ('refused' in admitted) return refuse(response, REFUSAL[admitted.refused]);
  if (admitted.isUnfunded) return refuse(response, stillStatus(admitted));
  const passage = passageOf(parts, place, credentials, admitted, () => response.destroy());
  const end = parts.traffic.begin(passage);
  response.on('close', end);
  const stream = await parts.provider.openPort(place.sandbox, place.port);
  const onBytes = (): void => parts.traffic.note(passage);
  await carryRequest({ asked: request, origin: originOf(parts, request), stream, onBytes }, response);
}

/** Why it stands still is its owner's affair alone. */
const stillStatus = ({ isOwner }: Admitted): Status => (isOwner ? 402 : 503);

const originOf = ({ places }: Parts, { socket, headers }: IncomingMessage) => ({
  address: socket.remoteAddress ?? '',
  host: headers.host ?? '',
  protocol: places.protocol,
});

async function admitFor(
  parts: Parts,
  place: PortPlace,
  credentials: Credentials,
  request: IncomingMessage,
): Promise<Admitted | Refused> {
  const admitted = await admit(parts, place, credentials);
  if ('refused' in admitted || !isFromElsewhere(credentials, request.headers)) return admitted;
  return { refused: 'page' };
}

function passageOf(
  parts: Parts,
  place: PortPlace,
  credentials: Credentials,
  { exposure, owner, recordEveryMs }: Admitted,
  cut: () => void,
): Passage {
  const isStillAllowed = async (): Promise<boolean> => !('refused' in (await admit(parts, place, credentials)));
  return { exposure, owner, recordEveryMs, isStillAllowed, cut };
}

/** The token goes from the address into a cookie that no script reads, and the address that a page sees is clean. */
async function openLink(
  parts: Parts,
  place: PortPlace,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const token = (request.url ?? '').slice(LINK_PATH.length);
  const admitted = await admit(parts, place, { apiKey: undefined, token });
  if ('refused' in admitted) return refuse(response, REFUSAL[admitted.refused]);
  const expires = admitted.exposure.port.expires_at_us;
  const leftUs = expires === null ? undefined : BigInt(expires) - parts.nowUs();
  const attributes = [
    'Path=/',
    'HttpOnly',
    'SameSite=Lax',
    ...(leftUs === undefined ? [] : [`Max-Age=${leftUs / US_PER_SECOND}`]),
    ...(parts.places.protocol === 'https' ? ['Secure'] : []),
  ];
  response.writeHead(303, {
    location: '/',
    'set-cookie': `${LINK_COOKIE}=${token}; ${attributes.join('; ')}`,
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  });
  response.end();
}

async function upgrade(parts: Parts, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const place = parts.places.placeOf(request.headers.host);
  const wanted = request.headers.upgrade?.toLowerCase();
  if (!place) return refuseBare(socket, 404);
  if (wanted !== 'websocket' && wanted !== STREAM_PROTOCOL) return refuseBare(socket, 400);
  const credentials = credentialsIn(request.headers);
  const admitted = await admitFor(parts, place, credentials, request);
  if ('refused' in admitted) return refuseBare(socket, REFUSAL[admitted.refused]);
  if (wanted === STREAM_PROTOCOL && !admitted.isOwner) return refuseBare(socket, 401);
  if (admitted.isUnfunded) return refuseBare(socket, stillStatus(admitted));
  const passage = passageOf(parts, place, credentials, admitted, () => socket.destroy());
  const end = parts.traffic.begin(passage);
  socket.on('close', end);
  const stream = await parts.provider.openPort(place.sandbox, place.port);
  const onBytes = (): void => parts.traffic.note(passage);
  if (wanted === 'websocket')
    return carryWebSocket({ asked: request, origin: originOf(parts, request), stream, onBytes }, socket, head);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${STREAM_PROTOCOL}\r\n\r\n`);
  await join(socket, stream, head, onBytes);
}
