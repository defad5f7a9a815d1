/**
 * Terminals of a guest that does not run on Node, whose way of reading one needs Node: a second guest beside it, on Node,
 * is started with the first terminal and leaves with the last.
 * Promise: the warden sees no difference; when the second guest is killed, its terminals end with a fault and no other work does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Work } from './exec.ts';
import type { Done } from './files.ts';
import { creditBody, type ExecRequest, encodeFrame, type Frame, frameReader, Kind } from './frame.ts';
import type { Send } from './outflow.ts';

/** Tells a guest that its frames come and go by its own pipes. */
export const OVER_PIPES = 'over-pipes';
const NODE_GUEST = ['--max-semi-space-size=1', '--single-threaded-gc', '/opt/guest/guest.cjs', OVER_PIPES];

interface Host {
  process: ChildProcess;
  calls: Map<number, { send: Send; done: Done }>;
}

let host: Host | undefined;

function passOn({ calls }: Host, { kind, call, body }: Frame): void {
  const known = calls.get(call);
  if (kind === Kind.end || kind === Kind.fault) known?.done(kind, body);
  else known?.send(kind as Kind, body);
}

function startHost(): Host {
  const child = spawn('/opt/node/bin/node', NODE_GUEST, { stdio: ['pipe', 'pipe', 'ignore'] });
  const started: Host = { process: child, calls: new Map() };
  const read = frameReader();
  child.stdout?.on('data', (chunk: Buffer) => {
    for (const frame of read(chunk)) passOn(started, frame);
  });
  child.stdin?.on('error', () => {});
  const end = (): void => {
    if (host === started) host = undefined;
    for (const { done } of started.calls.values())
      done(Kind.fault, { code: 'terminal_lost', message: 'its host ended' });
  };
  child.once('error', end);
  child.once('close', end);
  return started;
}

function forget(from: Host, call: number): void {
  from.calls.delete(call);
  if (from.calls.size > 0) return;
  if (host === from) host = undefined;
  from.process.stdin?.end();
}

/** As startTerminal does it, in the other process. */
export function startHostedTerminal(request: ExecRequest, call: number, send: Send, done: Done): Work {
  host ??= startHost();
  const mine = host;
  const write = (kind: Kind, body?: Buffer | object): void =>
    void mine.process.stdin?.write(encodeFrame(kind, call, body));
  const finish: Done = (kind, body) => {
    forget(mine, call);
    done(kind, body);
  };
  mine.calls.set(call, { send, done: finish });
  write(Kind.exec, request);
  return {
    data: (bytes) => write(Kind.data, bytes),
    dataEnd: () => write(Kind.dataEnd),
    credit: (bytes) => write(Kind.credit, creditBody(bytes)),
    signal: (name) => write(Kind.signal, { signal: name }),
    resize: (size) => write(Kind.resize, size),
    cancel: () => {
      write(Kind.cancel);
      forget(mine, call);
    },
  };
}
