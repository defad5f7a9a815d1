/**
 * Follows live topics over one WebSocket, in Node and browsers.
 * Promise: every topic is an async iteration without gap or duplicate across any number of broken connections.
 */
import { create, fromBinary, fromJsonString, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import { ClientFrameSchema, type Event, type ServerFrame, ServerFrameSchema } from '@tallystick/proto';
import { CLOSE, HEARTBEAT_MS, LIVE_PATH, LIVE_PROTO, type LiveProtocol } from '../live-protocols.ts';
import { LiveProblem, type TopicOptions, TopicQueue } from './live-topic.ts';

export const RECONNECT_MS_MIN = 50;
export const RECONNECT_MS_MAX = 5_000;
/** Three missed heartbeats. */
const SILENCE_MS_MAX = 3 * HEARTBEAT_MS;

export interface LiveClientOptions {
  /** e.g. `http://127.0.0.1:4000` or `ws://127.0.0.1:4000`; the path is added when it is missing. */
  url: string;
  /** API key, or how to get it now. Sent as the first frame, never in the URL. */
  token: string | (() => string);
  protocol?: LiveProtocol;
  silenceMsMax?: number;
}

export interface LiveClient {
  /**
   * The events of a topic, in order. An exec topic ends after its ExecEndEvent; others end when the loop is left.
   * @errors LiveProblem when the topic or the key is refused; the signal's reason when it aborts
   */
  topic(name: string, options?: TopicOptions): AsyncGenerator<Event, void, void>;
  /** Ends the connection; iterations in progress fail with LiveProblem `closed`. */
  close(): void;
}

/** Closes after which coming back cannot help, and the code that says why. */
const REFUSED_CLOSE: Readonly<Record<number, string>> = {
  [CLOSE.unauthenticated]: 'credential_refused',
  [CLOSE.badFrame]: 'invalid_request',
  [CLOSE.tooMuch]: 'queue_full',
};

type Say = NonNullable<MessageInitShape<typeof ClientFrameSchema>['frame']>;
type Told = ServerFrame['frame'];

export function createLiveClient(options: LiveClientOptions): LiveClient {
  const link = new Link(options);
  return { topic: (name, topicOptions = {}) => follow(link, name, topicOptions), close: () => link.close() };
}

async function* follow(link: Link, name: string, options: TopicOptions): AsyncGenerator<Event, void, void> {
  const queue = link.add(name, options);
  try {
    for (;;) {
      const { event, mustAck } = await queue.next();
      yield event;
      if (event.body.case === 'execEnd') return;
      if (mustAck) link.say({ case: 'ack', value: { sub: queue.sub, cursor: event.cursor } });
    }
  } finally {
    link.remove(queue);
  }
}

/** `http://host` and `ws://host` mean the same place. */
function liveUrl(url: string): string {
  const parsed = new URL(url);
  parsed.protocol = parsed.protocol.replace('http', 'ws');
  if (!parsed.pathname.endsWith(LIVE_PATH)) parsed.pathname = `${parsed.pathname.replace(/\/+$/, '')}${LIVE_PATH}`;
  return parsed.href;
}

/** The connection that all topics share; it exists while there are topics. A class because of its lifetime. */
class Link {
  readonly #options: LiveClientOptions;
  readonly #url: string;
  readonly #protocol: LiveProtocol;
  readonly #topics = new Map<number, TopicQueue>();
  #socket: WebSocket | undefined;
  #lastSub = 0;
  #delayMs = RECONNECT_MS_MIN;
  #heardAtMs = 0;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setInterval> | undefined;

  constructor(options: LiveClientOptions) {
    this.#options = options;
    this.#url = liveUrl(options.url);
    this.#protocol = options.protocol ?? LIVE_PROTO;
  }

  add(name: string, options: TopicOptions): TopicQueue {
    const queue = new TopicQueue(++this.#lastSub, name, options);
    this.#topics.set(queue.sub, queue);
    if (this.#socket) this.#subscribe(queue);
    else if (!this.#reconnectTimer) this.#connect();
    return queue;
  }

  remove(queue: TopicQueue): void {
    if (!this.#topics.delete(queue.sub)) return;
    this.say({ case: 'unsubscribe', value: { sub: queue.sub } });
    if (this.#topics.size === 0) this.#disconnect();
  }

  close(): void {
    this.#failAll(new LiveProblem('closed', 'the live client was closed'));
  }

  say(frame: Say): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const message = create(ClientFrameSchema, { frame });
    const isBinary = this.#protocol === LIVE_PROTO;
    this.#socket.send(isBinary ? toBinary(ClientFrameSchema, message) : toJsonString(ClientFrameSchema, message));
  }

  #connect(): void {
    this.#reconnectTimer = undefined;
    const socket = new WebSocket(this.#url, [this.#protocol]);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#heardAtMs = Date.now();
    const silenceMsMax = this.#options.silenceMsMax ?? SILENCE_MS_MAX;
    this.#silenceTimer = setInterval(() => this.#checkSilence(silenceMsMax), silenceMsMax / 3);
    socket.onopen = () => {
      const { token } = this.#options;
      this.say({ case: 'auth', value: { token: typeof token === 'function' ? token() : token } });
      for (const queue of this.#topics.values()) this.#subscribe(queue);
    };
    socket.onmessage = ({ data }) => this.#hear(data as ArrayBuffer | string);
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#lost(code, reason);
    };
  }

  #subscribe(queue: TopicQueue): void {
    const { sub, name, epoch, cursor, options } = queue;
    const after = cursor === undefined ? {} : { after: cursor };
    this.say({ case: 'subscribe', value: { sub, topic: name, epoch, window: options.window ?? 0, ...after } });
  }

  /** A connection that says nothing although its readers have taken everything is dead. */
  #checkSilence(silenceMsMax: number): void {
    const isSlowReader = [...this.#topics.values()].some((queue) => !queue.isDrained);
    if (isSlowReader) this.#heardAtMs = Date.now();
    if (Date.now() - this.#heardAtMs > silenceMsMax) this.#lost(0, 'silence');
  }

  #hear(data: ArrayBuffer | string): void {
    this.#heardAtMs = Date.now();
    try {
      const { frame } =
        typeof data === 'string'
          ? fromJsonString(ServerFrameSchema, data, { ignoreUnknownFields: true })
          : fromBinary(ServerFrameSchema, new Uint8Array(data));
      this.#deal(frame);
    } catch (fault) {
      this.#failAll(fault instanceof Error ? fault : new Error(String(fault)));
    }
  }

  #deal(frame: Told): void {
    if (frame.case === 'goAway') {
      this.#delayMs = Math.max(frame.value.reconnectAfterMs, RECONNECT_MS_MIN);
      return;
    }
    const queue = frame.case === undefined ? undefined : this.#topics.get(frame.value.sub);
    if (queue) this.#dealWith(queue, frame);
  }

  #dealWith(queue: TopicQueue, frame: Told): void {
    if (frame.case === 'batch') queue.push(frame.value.events);
    else if (frame.case === 'caughtUp') queue.options.onState?.('caught_up');
    else if (frame.case === 'problem') queue.fail(new LiveProblem(frame.value.code, frame.value.detail));
    else if (frame.case === 'subscribed') {
      this.#delayMs = RECONNECT_MS_MIN;
      queue.subscribed(frame.value.epoch, frame.value.head);
    } else if (frame.case === 'reset') {
      const { reason, oldest, epoch } = frame.value;
      if (queue.reset({ reason, oldest }, epoch)) this.#subscribe(queue);
    }
  }

  #lost(code: number, reason: string): void {
    this.#disconnect();
    const refusal = REFUSED_CLOSE[code];
    if (refusal) {
      this.#failAll(new LiveProblem(refusal, reason));
      return;
    }
    for (const queue of this.#topics.values()) queue.disconnected();
    if (this.#topics.size === 0) return;
    this.#reconnectTimer = setTimeout(() => this.#connect(), this.#delayMs * (0.5 + Math.random()));
    this.#delayMs = Math.min(this.#delayMs * 2, RECONNECT_MS_MAX);
  }

  #disconnect(): void {
    clearInterval(this.#silenceTimer);
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  #failAll(failure: Error): void {
    this.#disconnect();
    for (const queue of this.#topics.values()) queue.fail(failure);
    this.#topics.clear();
  }
}
