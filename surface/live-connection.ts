/**
 * One WebSocket of a live reader: who it is, and its subscriptions.
 * Promise: the first frame is Auth; frames are dealt with in order; nothing a reader sends changes anything but itself.
 */
import { type ClientFrame, type ErrorCodeName, wireCode } from '@tallystick/proto';
import type { RawData, WebSocket } from 'ws';
import type { Authenticate, Principal } from './dispatch.ts';
import { printBatch, printFrame, readFrame, type Say } from './live-frames.ts';
import { CLOSE, type LiveProtocol } from './live-protocols.ts';
import { type LiveOutput, type LiveTopic, openSubscription, type Subscription } from './live-subscription.ts';

export const SUBSCRIPTIONS_MAX = 256;
export const AUTH_WAIT_MS = 5_000;
/** Frames that wait while an earlier one is dealt with. */
const PENDING_FRAMES_MAX = 512;
const RECONNECT_AFTER_FAULT_MS = 1_000;
/** Above this many unsent bytes a subscription waits for its last batch to leave. */
const BUFFERED_BYTES_MAX = 512 * 1024;

/** The topic of that name for that caller; undefined when there is none for it. */
export type OpenTopic = (topic: string, principal: Principal) => LiveTopic | undefined | Promise<LiveTopic | undefined>;

export interface LiveConnectionOptions {
  authenticate: Authenticate;
  open: OpenTopic;
  /** Where unexpected exceptions go. */
  log(fault: unknown): void;
  authWaitMs: number;
}

type Frame<K extends string> = Extract<ClientFrame['frame'], { case: K }>['value'];

/** A class because it lives as long as its socket. */
export class LiveConnection implements LiveOutput {
  readonly #socket: WebSocket;
  readonly #options: LiveConnectionOptions;
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #authTimer: NodeJS.Timeout;
  #principal: Principal | undefined;
  #token = '';
  #isAlive = true;
  #pendingCount = 0;
  #pending: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, options: LiveConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#authTimer = setTimeout(() => socket.close(CLOSE.unauthenticated, 'no Auth frame'), options.authWaitMs);
    socket.on('message', (data, isBinary) => this.#enqueue(data, isBinary));
    socket.on('pong', () => {
      this.#isAlive = true;
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => this.#closed());
  }

  get #protocol(): LiveProtocol {
    return this.#socket.protocol as LiveProtocol;
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Ends a connection that has not answered since the last beat or whose key was revoked. */
  async beat(): Promise<void> {
    if (!this.#isAlive) return this.#socket.terminate();
    this.#isAlive = false;
    this.#socket.ping();
    for (const subscription of this.#subscriptions.values()) subscription.beat();
    if (!this.#principal) return;
    const principal = await this.#options.authenticate(this.#token);
    if (!principal) this.#socket.close(CLOSE.unauthenticated, 'the API key is not valid any more');
  }

  goAway(reconnectAfterMs: number): void {
    this.say({ case: 'goAway', value: { reconnectAfterMs } });
    this.#socket.close(CLOSE.draining, 'draining');
  }

  say(frame: Say): void {
    if (this.#isOpen) this.#socket.send(printFrame(frame, this.#protocol));
  }

  sendBatch(sub: number, events: readonly Uint8Array[]): Promise<void> {
    if (!this.#isOpen) return Promise.reject(new Error('the connection is closed'));
    const data = printBatch(sub, events, this.#protocol);
    return new Promise((resolve, reject) => {
      this.#socket.send(data, (fault) => (fault ? reject(fault) : resolve()));
      if (this.#socket.bufferedAmount < BUFFERED_BYTES_MAX) resolve();
    });
  }

  ended(sub: number): void {
    this.#subscriptions.delete(sub);
  }

  failed(fault: unknown): void {
    if (!this.#isOpen) return;
    this.#options.log(fault);
    this.goAway(RECONNECT_AFTER_FAULT_MS);
  }

  #closed(): void {
    clearTimeout(this.#authTimer);
    for (const subscription of this.#subscriptions.values()) subscription.stop();
    this.#subscriptions.clear();
  }

  /** Frames are dealt with one after the other, though each may take time. */
  #enqueue(data: RawData, isBinary: boolean): void {
    this.#isAlive = true;
    if (++this.#pendingCount > PENDING_FRAMES_MAX) {
      this.#socket.close(CLOSE.tooMuch, 'too many frames at once');
      return;
    }
    this.#pending = this.#pending
      .then(() => this.#receive(data as Buffer, isBinary))
      .catch((fault: unknown) => this.failed(fault))
      .finally(() => this.#pendingCount--);
  }

  async #receive(data: Buffer, isBinary: boolean): Promise<void> {
    if (!this.#isOpen) return;
    let frame: ClientFrame['frame'];
    try {
      frame = readFrame(data, isBinary, this.#protocol);
    } catch {
      return this.#socket.close(CLOSE.badFrame, 'bad frame');
    }
    if (frame.case === 'auth') return this.#auth(frame.value);
    if (!this.#principal) return this.#socket.close(CLOSE.unauthenticated, 'the first frame must be Auth');
    if (frame.case === 'subscribe') return this.#subscribe(frame.value, this.#principal);
    if (frame.case === 'unsubscribe') return this.#unsubscribe(frame.value);
    if (frame.case === 'ack') this.#subscriptions.get(frame.value.sub)?.ack(frame.value.cursor);
  }

  async #auth({ token }: Frame<'auth'>): Promise<void> {
    if (this.#principal) return this.#socket.close(CLOSE.badFrame, 'a second Auth frame');
    const principal = await this.#options.authenticate(token);
    if (!principal) return this.#socket.close(CLOSE.unauthenticated, 'the API key is unknown, revoked or expired');
    clearTimeout(this.#authTimer);
    this.#principal = principal;
    this.#token = token;
  }

  #unsubscribe({ sub }: Frame<'unsubscribe'>): void {
    this.#subscriptions.get(sub)?.stop();
    this.#subscriptions.delete(sub);
  }

  async #subscribe(frame: Frame<'subscribe'>, principal: Principal): Promise<void> {
    const { sub } = frame;
    if (this.#subscriptions.has(sub))
      return this.#problem(sub, 'ALREADY_EXISTS', `the subscription ${sub} exists already`);
    if (this.#subscriptions.size >= SUBSCRIPTIONS_MAX)
      return this.#problem(sub, 'POLICY_CAP_EXCEEDED', `at most ${SUBSCRIPTIONS_MAX} subscriptions on a connection`);
    const topic = await this.#options.open(frame.topic, principal);
    if (!topic) return this.#problem(sub, 'NOT_FOUND', `there is no topic ${frame.topic} for you`);
    const subscription = await openSubscription(topic, frame, this);
    if (!subscription || !this.#isOpen) return;
    this.#subscriptions.set(sub, subscription);
    subscription.start();
  }

  #problem(sub: number, code: ErrorCodeName, detail: string): void {
    this.say({ case: 'problem', value: { sub, code: wireCode(code), detail } });
  }
}
