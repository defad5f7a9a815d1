/**
 * The agent inside the sandbox: runs commands and moves files for whoever owns the socket.
 * Promise: it holds no key and makes no decision; all it says is hostile input to the warden.
 */
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { startDial } from './dial.ts';
import { startExec, type Work } from './exec.ts';
import { type Done, startGet, startList, startPut } from './files.ts';
import { startForward } from './forward.ts';
import { type ExecRequest, encodeFrame, type Frame, frameReader, Kind } from './frame.ts';
import type { Send } from './outflow.ts';
import { startMkdir, startMove, startStat } from './paths.ts';
import { startRemove } from './remove.ts';
import { startTerminal } from './terminal.ts';
import { OVER_PIPES, startHostedTerminal } from './terminal-host.ts';
import { startWatch } from './watch.ts';

const SOCKET_PATH = '/run/guest/guest.sock';

interface Session {
  output: Writable;
  works: Map<number, Work>;
}

const json = (frame: Frame) => JSON.parse(frame.body.toString());

function startCommand(request: ExecRequest, call: number, send: Send, done: Done): Work {
  if (!request.tty) return startExec(request, send, done);
  const isOnNode = process.versions['bun'] === undefined;
  return isOnNode ? startTerminal(request, send, done) : startHostedTerminal(request, call, send, done);
}

const STARTS: Record<number, (frame: Frame, send: Send, done: Done) => Work> = {
  [Kind.exec]: (frame, send, done) => startCommand(json(frame), frame.call, send, done),
  [Kind.put]: (frame, send, done) => startPut({ ...json(frame), call: frame.call }, send, done),
  [Kind.get]: (frame, send, done) => startGet(json(frame), send, done),
  [Kind.list]: (frame, send, done) => startList(json(frame), send, done),
  [Kind.stat]: (frame, send, done) => startStat(json(frame), send, done),
  [Kind.mkdir]: (frame, send, done) => startMkdir(json(frame), send, done),
  [Kind.move]: (frame, send, done) => startMove(json(frame), send, done),
  [Kind.remove]: (frame, send, done) => startRemove(json(frame), send, done),
  [Kind.watch]: (frame, send, done) => startWatch(json(frame), send, done),
  [Kind.dial]: (frame, send, done) => startDial(json(frame), send, done),
  [Kind.forward]: (frame, send, done) => startForward(json(frame), send, done),
};

function start(session: Session, frame: Frame): void {
  const send: Send = (kind, body) => session.output.write(encodeFrame(kind, frame.call, body));
  let isOver = false;
  const done: Done = (kind, body) => {
    if (isOver) return;
    isOver = true;
    session.works.delete(frame.call);
    send(kind, body);
  };
  try {
    const work = STARTS[frame.kind]?.(frame, send, done);
    if (work && !isOver) session.works.set(frame.call, work);
  } catch (fault) {
    const { code = 'fault', message } = fault as NodeJS.ErrnoException;
    done(Kind.fault, { code, message });
  }
}

function follow(work: Work, frame: Frame): void {
  if (frame.kind === Kind.data) work.data(frame.body);
  else if (frame.kind === Kind.dataEnd) work.dataEnd();
  else if (frame.kind === Kind.credit) work.credit(frame.body.readUInt32BE(0));
  else if (frame.kind === Kind.signal) work.signal(json(frame).signal);
  else if (frame.kind === Kind.resize) work.resize?.(json(frame));
  else if (frame.kind === Kind.cancel) work.cancel();
}

function obey(session: Session, frame: Frame): void {
  if (frame.kind in STARTS) return void start(session, frame);
  const work = session.works.get(frame.call);
  if (work) follow(work, frame);
  if (frame.kind === Kind.cancel) session.works.delete(frame.call);
}

function serve(input: Readable, output: Writable): void {
  const session: Session = { output, works: new Map() };
  const read = frameReader();
  input.on('data', (chunk) => {
    for (const frame of read(chunk)) obey(session, frame);
  });
  input.on('error', () => process.exit(1));
  input.on('close', () => process.exit(0));
}

function main(): void {
  if (process.argv.includes(OVER_PIPES)) serve(process.stdin, process.stdout);
  else dialWarden();
}

function dialWarden(): void {
  const socket = connect(SOCKET_PATH);
  socket.on('connect', () => socket.write(encodeFrame(Kind.hello, 0, {})));
  serve(socket, socket);
}

main();
