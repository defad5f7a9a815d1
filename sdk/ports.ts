/**
 * Ports of a sandbox: opened, listed, closed, and reached as plain streams.
 * Promise: the API key goes to the platform's own listener for ports and never to the program behind it.
 */
import { request } from 'node:http';
import { request as requestSecurely } from 'node:https';
import type { Duplex } from 'node:stream';
import { type Port, PortVisibility } from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import { type Link, refuseHere } from './services.ts';

export interface ExposeOptions extends Keyed {
  /** Absent: only with an API key. */
  visibility?: 'private' | 'link';
  /** How long it stays open. */
  ttlMs?: bigint;
}

const STREAM_PROTOCOL = 'tally-port';
const CONNECT_MS_MAX = 20_000;
const LOOPBACK = '127.0.0.1';
const COMPLAINT_CHARS_MAX = 300;

/** @internal */
export function exposePort(link: Link, id: string, port: number, options: ExposeOptions = {}): Promise<Port> {
  const { visibility, ttlMs, ...keyed } = options;
  const shown = visibility === 'link' ? PortVisibility.LINK : PortVisibility.PRIVATE;
  const input = { id, port, visibility: shown, ...(ttlMs === undefined ? {} : { ttlMs }) };
  return link.services.ports.exposePort(input, keyOf(keyed));
}

/** @internal */
export async function listPorts(link: Link, id: string, options?: Asked): Promise<Port[]> {
  return (await link.services.ports.listPorts({ id }, askedOf(options))).ports;
}

/** @internal */
export const closePort = (link: Link, id: string, port: number, options?: Keyed): Promise<Port> =>
  link.services.ports.closePort({ id, port }, keyOf(options));

const refusedWith = (detail: string) => refuseHere('PROVIDER_REFUSED', { detail, facts: { cause: 'port_refused' } });

/**
 * A plain stream to an open port. Names below `localhost` are this machine, whatever its resolver says.
 * @internal @errors ApiError `provider_refused` with what the listener said
 */
export function connectPort(link: Link, { url }: Pick<Port, 'url'>): Promise<Duplex> {
  const { protocol, hostname, host, port } = new URL(url);
  const isSecure = protocol === 'https:';
  const headers = {
    host,
    connection: 'Upgrade',
    upgrade: STREAM_PROTOCOL,
    authorization: `Bearer ${link.apiKey ?? ''}`,
  };
  const address = hostname.endsWith('.localhost') ? LOOPBACK : hostname;
  const ask = isSecure ? requestSecurely : request;
  return new Promise((resolve, reject) => {
    const sent = ask({ host: address, servername: hostname, port: port || undefined, headers, agent: false });
    const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${CONNECT_MS_MAX} ms`)), CONNECT_MS_MAX);
    const over = (fault: unknown): void => {
      clearTimeout(timer);
      reject(fault);
    };
    sent.on('error', over);
    sent.on('response', (answer) => {
      let said = '';
      answer.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(0, COMPLAINT_CHARS_MAX);
      });
      answer.on('close', () => over(refusedWith(said.trim())));
    });
    sent.on('upgrade', (_, socket, head) => {
      clearTimeout(timer);
      if (head.length > 0) socket.unshift(head);
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
    sent.end();
  });
}
