/**
 * Calls a platform's warden past the platform, as somebody would who stole its caller key or kept an old ticket.
 * Promise: speaks the documented protocol only: HTTP on a unix socket, a DSSE envelope in each request.
 */
import { createHash, createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CALLER_TICKET_TYPE = 'application/vnd.tallystick.caller-ticket+json';
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const TICKET_MS = 60_000;
const SOCKET_NAME_CHARS = 8;

export interface WardenAnswer {
  status: number;
  body: Record<string, unknown>;
}

/** Where the warden of a platform folder listens. */
export function wardenSocketOf(folder: string): string {
  const name = createHash('sha256').update(folder).digest('hex').slice(0, SOCKET_NAME_CHARS);
  return join(tmpdir(), `tally-${name}`, 'warden.sock');
}

/** @errors rejects when the warden does not answer */
export async function callWarden(folder: string, method: string, path: string, body?: object): Promise<WardenAnswer> {
  const health = await exchange(folder, 'GET', '/v1/health', '');
  const authorization = `Tally ${callerTicket(folder, String(health.body['public_key']))}`;
  return exchange(folder, method, path, authorization, body);
}

/** Members in the order of RFC 8785. */
function callerTicket(folder: string, audience: string): string {
  const exp_us = String((Date.now() + TICKET_MS) * 1_000);
  const verbs = ['create', 'renew', 'finish', 'read', 'exec', 'put', 'get'];
  const payload = Buffer.from(
    JSON.stringify({ aud: audience, exp_us, incarnation: 0, jti: 'acceptance', sandbox: '*', verbs }),
  );
  const seed = Buffer.from(readFileSync(join(folder, 'keys', 'caller.seed'), 'utf8').trim(), 'base64');
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const head = `DSSEv1 ${CALLER_TICKET_TYPE.length} ${CALLER_TICKET_TYPE} ${payload.length} `;
  const sig = sign(null, Buffer.concat([Buffer.from(head), payload]), key).toString('base64');
  const signatures = [{ keyid: '', sig }];
  const envelope = { payloadType: CALLER_TICKET_TYPE, payload: payload.toString('base64'), signatures };
  return Buffer.from(JSON.stringify(envelope)).toString('base64');
}

function exchange(
  folder: string,
  method: string,
  path: string,
  authorization: string,
  body?: object,
): Promise<WardenAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<WardenAnswer>();
  const sent = request(
    { socketPath: wardenSocketOf(folder), method, path, headers: { authorization }, agent: false },
    async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) });
    },
  );
  sent.on('error', reject);
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}
