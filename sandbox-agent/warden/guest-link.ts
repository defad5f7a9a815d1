/**
 * The warden's end of the guest socket: calls, their credit, and what a hostile guest may not do.
 * Promise: the warden listens and the guest dials, once; whatever the guest sends costs it its own link and nothing more.
 */
import { chmodSync, chownSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import {
  creditBody,
  encodeFrame,
  FRAME_BYTES_MAX,
  type Frame,
  frameReader,
  Kind,
  type TerminalSize,
  WINDOW_BYTES,
} from '../guest/frame.ts';
import { Fault } from './fault.ts';

/** Calls that may be open at once on one sandbox. */
export const CALLS_MAX = 256;
/** Frames for calls that are over: some are on their way when a call ends, a flood is an attack. */
const STRAY_FRAMES_MAX = 10_000;
const CONTROL_BYTES_MAX = 16 * 1024;

export interface CallEvents {
  /** 1: out, 2: err. Whoever takes the bytes gives them back with `credit` when it has room again. */
  onBytes?(stream: 1 | 2, bytes: Buffer): void;
  onMeta?(meta: Record<string, unknown>): void;
  /** Exactly one of these three, once. */
  onEnd(end: Record<string, unknown>): void;
  /** `body` is all that the guest said, and as hostile. */
  onFault(code: string, message: string, body?: Record<string, unknown>): void;
  onLost(): void;
}

export interface Call {
  /** Resolves when the guest has given enough credit to send more; false when the call is over. */
  write(bytes: Buffer): Promise<boolean>;
  end(): void;
  signal(name: string): void;
  resize(size: TerminalSize): void;
  /** Bytes taken: the guest may send as many more. */
  credit(bytes: number): void;
  /** Ends the call here and there; no event follows. */
  cancel(): void;
}

interface OpenCall {
  events: CallEvents;
  /** Bytes that we may still send. */
  sendWindow: number;
  /** Bytes that the guest may still send. */
  receiveWindow: number;
  wake: (() => void) | undefined;
}

export type Verb =
  | 'exec'
  | 'put'
  | 'get'
  | 'list'
  | 'stat'
  | 'mkdir'
  | 'move'
  | 'remove'
  | 'watch'
  | 'dial'
  | 'forward';

export class GuestLink {
  readonly ready: Promise<void>;
  readonly #server: Server;
  #socket: Socket | undefined;
  readonly #calls = new Map<number, OpenCall>();
  #nextCall = 1;
  #strays = 0;
  #isLost = false;

  /**
   * Listening before the sandbox starts removes both the wait for a ready line and the confused deputy: a socket that
   * the guest created could be replaced by a link to any socket of the host.
   */
  constructor(socketPath: string, ownerUid: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#server = createServer((socket) => this.#accept(socket, resolve));
    this.#server.listen(socketPath); // binds before it returns; a guest may dial before the next turn of the loop
    chmodSync(socketPath, 0o600);
    chownSync(socketPath, ownerUid, ownerUid);
  }

  #accept(socket: Socket, onReady: () => void): void {
    this.#server.close();
    if (this.#socket) return void socket.destroy();
    this.#socket = socket;
    const read = frameReader();
    socket.on('data', (chunk) => {
      try {
        for (const frame of read(chunk)) {
          if (frame.kind === Kind.hello) onReady();
          else this.#take(frame);
        }
      } catch {
        socket.destroy();
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.close());
  }

  /** @errors throws on anything an honest guest does not send; the caller cuts the link. */
  #take(frame: Frame): void {
    const call = this.#calls.get(frame.call);
    if (!call) {
      this.#strays += 1;
      if (this.#strays > STRAY_FRAMES_MAX) throw new RangeError('too many stray frames');
      return;
    }
    if (frame.kind === Kind.out || frame.kind === Kind.err) return void this.#takeBytes(call, frame);
    if (frame.kind === Kind.credit) return void this.#takeCredit(call, frame);
    if (frame.body.length > CONTROL_BYTES_MAX) throw new RangeError('control frame too long');
    const body = JSON.parse(frame.body.toString());
    if (typeof body !== 'object' || body === null) throw new TypeError('control frame is not an object');
    if (frame.kind === Kind.meta) return void call.events.onMeta?.(body);
    if (frame.kind !== Kind.end && frame.kind !== Kind.fault) throw new TypeError(`unknown frame kind ${frame.kind}`);
    this.#close(frame.call);
    if (frame.kind === Kind.end) call.events.onEnd(body);
    else call.events.onFault(String(body.code ?? 'fault').slice(0, 64), String(body.message ?? '').slice(0, 512), body);
  }

  #takeBytes(call: OpenCall, frame: Frame): void {
    call.receiveWindow -= frame.body.length;
    if (call.receiveWindow < -FRAME_BYTES_MAX) throw new RangeError('more bytes than credit');
    call.events.onBytes?.(frame.kind === Kind.out ? 1 : 2, frame.body);
  }

  #takeCredit(call: OpenCall, frame: Frame): void {
    call.sendWindow += frame.body.readUInt32BE(0);
    if (call.sendWindow > WINDOW_BYTES) throw new RangeError('more credit than bytes');
    call.wake?.();
  }

  #close(id: number): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.wake?.();
  }

  /** Cuts the link: every open call is lost. */
  close(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    if (this.#server.listening) this.#server.close();
    this.#socket?.destroy();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) {
      call.wake?.();
      call.events.onLost();
    }
  }

  #send(kind: Kind, call: number, body?: Buffer | object): void {
    if (!this.#isLost) this.#socket?.write(encodeFrame(kind, call, body));
  }

  /** @errors throws Fault `sandbox_lost` or `too_many_calls`, or RangeError for a request over one frame. */
  open(verb: Verb, request: object, events: CallEvents): Call {
    if (this.#isLost) throw new Fault('gone', 'sandbox_lost', 'the sandbox is gone');
    if (this.#calls.size >= CALLS_MAX) {
      const facts = { cap: CALLS_MAX, asked: 1, available: 0 };
      throw new Fault('busy', 'too_many_calls', `at most ${CALLS_MAX} calls at once on one sandbox`, facts);
    }
    const frame = encodeFrame(Kind[verb], this.#nextCall, request);
    const id = this.#nextCall++;
    this.#calls.set(id, { events, sendWindow: WINDOW_BYTES, receiveWindow: WINDOW_BYTES, wake: undefined });
    this.#socket?.write(frame);
    return {
      write: (bytes) => this.#write(id, bytes),
      end: () => this.#send(Kind.dataEnd, id),
      signal: (name) => this.#send(Kind.signal, id, { signal: name }),
      resize: (size) => this.#send(Kind.resize, id, size),
      credit: (bytes) => this.#giveCredit(id, bytes),
      cancel: () => {
        if (!this.#calls.has(id)) return;
        this.#close(id);
        this.#send(Kind.cancel, id);
      },
    };
  }

  #giveCredit(id: number, bytes: number): void {
    const call = this.#calls.get(id);
    if (!call || bytes === 0) return;
    call.receiveWindow += bytes;
    this.#send(Kind.credit, id, creditBody(bytes));
  }

  async #write(id: number, bytes: Buffer): Promise<boolean> {
    for (let at = 0; at < bytes.length; at += FRAME_BYTES_MAX) {
      const chunk = bytes.subarray(at, at + FRAME_BYTES_MAX);
      if (!(await this.#room(id, chunk.length))) return false;
      this.#send(Kind.data, id, chunk);
    }
    return this.#calls.has(id);
  }

  async #room(id: number, bytes: number): Promise<boolean> {
    for (;;) {
      const call = this.#calls.get(id);
      if (!call) return false;
      if (call.sendWindow >= bytes) {
        call.sendWindow -= bytes;
        return true;
      }
      await new Promise<void>((resolve) => {
        call.wake = resolve;
      });
    }
  }
}
