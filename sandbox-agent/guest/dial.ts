/**
 * Connects to a port on the sandbox's own loopback and carries bytes both ways.
 * Promise: it dials no other address; either side may close its half, and a slow reader stops its source only.
 */
import { createConnection, type Socket } from 'node:net';
import type { Work } from './exec.ts';
import type { Done } from './files.ts';
import { creditBody, Kind } from './frame.ts';
import { outflow, type Send } from './outflow.ts';

/** Programs that listen on `localhost` may listen on either. */
const LOOPBACK_HOSTS = ['127.0.0.1', '::1'];

/** Says `meta {connected}` once, `meta {eof}` when the program sends no more, and ends when both halves are closed. */
export function startDial(request: { port: number }, send: Send, done: Done): Work {
  const flow = outflow(send);
  const waiting: (() => void)[] = [];
  let socket: Socket | undefined;
  const whenConnected = (act: () => void): void => void (socket ? act() : waiting.push(act));
  const take = (connected: Socket): void => {
    socket = connected;
    send(Kind.meta, { connected: true });
    flow.pump(connected, Kind.out);
    connected.on('end', () => send(Kind.meta, { eof: true }));
    connected.on('error', () => connected.destroy());
    connected.on('close', () => done(Kind.end, {}));
    for (const act of waiting.splice(0)) act();
  };
  dialFirst(request.port, LOOPBACK_HOSTS, take, (fault) =>
    done(Kind.fault, { code: fault.code, message: fault.message }),
  );
  const write = (bytes: Buffer): void => {
    const giveBack = (): void => send(Kind.credit, creditBody(bytes.length));
    if (socket?.writable) socket.write(bytes, giveBack);
    else giveBack();
  };
  return {
    data: (bytes) => whenConnected(() => write(bytes)),
    dataEnd: () => whenConnected(() => socket?.end()),
    credit: flow.credit,
    signal: () => {},
    cancel: () => whenConnected(() => socket?.destroy()),
  };
}

function dialFirst(
  port: number,
  [host, ...others]: string[],
  take: (socket: Socket) => void,
  fail: (fault: NodeJS.ErrnoException) => void,
): void {
  const candidate = createConnection({ host: host as string, port, allowHalfOpen: true });
  const onError = (fault: NodeJS.ErrnoException): void => {
    candidate.destroy();
    if (others.length > 0) dialFirst(port, others, take, fail);
    else fail(fault);
  };
  candidate.once('error', onError);
  candidate.once('connect', () => {
    candidate.off('error', onError);
    take(candidate);
  });
}
