/**
 * A small HTTP client for load: kept-alive connections that send one prepared request after the other.
 * Promise: every answer that is counted had the wanted status; nothing is sent anywhere but to loopback.
 */
import { connect, type Socket } from 'node:net';

const HEAD_END = '\r\n\r\n';

/** One connection; requests on it go one at a time. */
export interface LoadConnection {
  /** Resolves with the body. @errors rejects when the status is another one or the connection breaks. */
  ask(request: string): Promise<string>;
  close(): void;
}

/** Opens a connection to `http://127.0.0.1:port`. */
export function openConnection(url: string, wantedStatus = 200): LoadConnection {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setNoDelay(true);
  let waiting: PromiseWithResolvers<string> | undefined;
  const fail = (fault: Error): void => waiting?.reject(fault);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const body = wholeBody(text);
    if (body === undefined) return;
    const status = Number(text.slice(9, 12));
    text = '';
    if (status === wantedStatus) waiting?.resolve(body);
    else fail(new Error(`answered ${status}: ${body}`));
  });
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the connection was closed')));
  return { ask: (request) => send(socket, request, (next) => (waiting = next)), close: () => socket.destroy() };
}

function send(socket: Socket, request: string, expect: (next: PromiseWithResolvers<string>) => void): Promise<string> {
  const next = Promise.withResolvers<string>();
  expect(next);
  socket.write(request);
  return next.promise;
}

/** Undefined until all of it is there. Both servers say how long their answer is. */
function wholeBody(text: string): string | undefined {
  const end = text.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, end))?.[1]);
  const body = text.slice(end + HEAD_END.length);
  return body.length >= length ? body : undefined;
}

/** A POST of JSON as bytes for the wire. */
export function postText(path: string, headers: Readonly<Record<string, string>>, body: string): string {
  const lines = Object.entries({ ...headers, 'content-length': String(Buffer.byteLength(body)) });
  return `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}
