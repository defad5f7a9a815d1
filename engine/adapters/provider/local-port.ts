/**
 * A stream to a port of a sandbox, as an upgraded connection of its own to the warden.
 * Promise: it takes no place among the connections of calls, and a refusal is told as any other call's.
 */
import { type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ProviderFault } from './port.ts';

const PORT_PROTOCOL = 'tally-port';
/** The warden gives a program inside 10 s to accept. */
const CONNECT_MS_MAX = 15_000;

export interface Dialling {
  socketPath: string;
  path: string;
  authorization: string;
  faultOf(response: IncomingMessage): Promise<ProviderFault>;
  unreachable(cause: Error): ProviderFault;
}

/** @errors rejects with ProviderFault */
export function dialWarden({ socketPath, path, authorization, faultOf, unreachable }: Dialling): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const headers = { authorization, connection: 'Upgrade', upgrade: PORT_PROTOCOL };
    const sent = request({ agent: false, socketPath, path, headers });
    const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), CONNECT_MS_MAX);
    sent.on('error', (fault) => {
      clearTimeout(timer);
      reject(unreachable(fault));
    });
    sent.on('response', (response) => {
      clearTimeout(timer);
      faultOf(response).then(reject, (fault) => reject(unreachable(fault)));
    });
    sent.on('upgrade', (_, socket, head) => {
      clearTimeout(timer);
      if (head.length > 0) socket.unshift(head);
      // Whoever reads and writes hears of a loss by its end or close; without a listener it would end the program.
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
    sent.end();
  });
}
