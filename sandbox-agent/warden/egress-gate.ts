/**
 * One connection of a sandbox to its broker, as a stream that passes nothing while the sandbox may not run.
 * Promise: a gate ends when nobody asks or nothing moves for too long; time during which it was held does not count.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { EgressFlow } from './egress-flow.ts';

/** A connection must have said where it wants to go within this time. */
export const EGRESS_HEAD_MS_MAX = 10_000;
/** A connection on which nothing moves for this long is closed. */
export const EGRESS_IDLE_MS_MAX = 600_000;

export interface Gate {
  stream: Duplex;
  /** It has said what it wants: from now on only silence ends it. */
  asked(): void;
}

/** Ends the gate after `ms` without a `stir`; held time is waited out. */
function patience(flow: EgressFlow, expire: () => void) {
  let isAsked = false;
  const look = (): void => {
    if (flow.isHeld) timer.refresh();
    else expire();
  };
  let timer = setTimeout(look, EGRESS_HEAD_MS_MAX);
  return {
    stir: () => void (isAsked && timer.refresh()),
    asked: () => {
      if (isAsked) return;
      isAsked = true;
      clearTimeout(timer);
      timer = setTimeout(look, EGRESS_IDLE_MS_MAX);
    },
    stop: () => clearTimeout(timer),
  };
}

/** `socket` was accepted paused, with both halves its own. */
export function gateOf(socket: Socket, flow: EgressFlow): Gate {
  const waits = patience(flow, () => stream.destroy());
  const stream: Duplex = new Duplex({
    allowHalfOpen: true,
    read: () => void socket.resume(),
    write(chunk: Buffer, _, taken) {
      waits.stir();
      flow.pass(chunk.length, () => socket.write(chunk, taken));
    },
    final: (done) => flow.pass(0, () => socket.end(done)),
    destroy(fault, done) {
      waits.stop();
      socket.destroy();
      done(fault);
    },
  });
  stream.on('error', () => stream.destroy());
  socket.on('data', (chunk: Buffer) => {
    waits.stir();
    socket.pause();
    flow.pass(chunk.length, () => {
      if (!stream.destroyed && stream.push(chunk)) socket.resume();
    });
  });
  socket.on('end', () => flow.pass(0, () => stream.destroyed || stream.push(null)));
  socket.on('error', () => stream.destroy());
  socket.on('close', () => stream.destroy());
  return { stream, asked: waits.asked };
}
