/**
 * Many live readers in one process, with as little work per frame as counting and acknowledging need.
 * Promise: an event counts only when its bytes have arrived; a slow reader subscribes and then never reads again.
 */
import { once } from 'node:events';
import { create, toBinary } from '@bufbuild/protobuf';
import { type ClientFrame, ClientFrameSchema } from '@tallystick/proto';
import { LIVE_PATH, LIVE_PROTO } from '@tallystick/surface';
import { WebSocket } from 'ws';

const SUB = 1;
const OPENED_AT_ONCE = 50;
const LENGTH_DELIMITED = 2;

/** One socket of either kind of server. */
export interface LiveReader {
  socket: WebSocket;
  received: number;
}

const say = (frame: ClientFrame['frame']): Uint8Array =>
  toBinary(ClientFrameSchema, create(ClientFrameSchema, { frame }));

/** Opens so many readers, a few at a time; `onEvents` hears how many events came with a frame. */
export async function openReaders(
  url: string,
  kind: 'ours' | 'naive',
  count: number,
  onEvents: (count: number) => void,
): Promise<LiveReader[]> {
  const readers: LiveReader[] = [];
  while (readers.length < count) {
    const more = Math.min(OPENED_AT_ONCE, count - readers.length);
    const open = kind === 'ours' ? openOurs : openNaive;
    readers.push(...(await Promise.all(Array.from({ length: more }, () => open(url, onEvents)))));
  }
  return readers;
}

async function openNaive(url: string, onEvents: (count: number) => void): Promise<LiveReader> {
  const reader: LiveReader = { socket: new WebSocket(url), received: 0 };
  reader.socket.on('message', () => {
    reader.received++;
    onEvents(1);
  });
  await once(reader.socket, 'open');
  return reader;
}

async function openOurs(url: string, onEvents: (count: number) => void): Promise<LiveReader> {
  const reader: LiveReader = { socket: new WebSocket(url + LIVE_PATH, [LIVE_PROTO]), received: 0 };
  const { socket } = reader;
  const caughtUp = Promise.withResolvers<void>();
  socket.on('message', (data: Buffer) => {
    const batch = readBatch(data);
    if (!batch) return caughtUp.resolve();
    reader.received += batch.events;
    socket.send(say({ case: 'ack', value: { $typeName: 'tallystick.live.v1.Ack', sub: SUB, cursor: batch.cursor } }));
    onEvents(batch.events);
  });
  await once(socket, 'open');
  socket.send(say({ case: 'auth', value: { $typeName: 'tallystick.live.v1.Auth', token: 'bench' } }));
  const subscribe = {
    $typeName: 'tallystick.live.v1.Subscribe' as const,
    sub: SUB,
    topic: 'account',
    epoch: '',
    window: 0,
  };
  socket.send(say({ case: 'subscribe', value: subscribe }));
  await caughtUp.promise;
  return reader;
}

/** A position in bytes that moves. */
interface Place {
  bytes: Buffer;
  at: number;
}

function varint(place: Place): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = place.bytes[place.at++]!;
    value += (byte & 127) * scale;
    if (byte < 128) return value;
  }
}

/** How many events a Batch frame holds and the cursor of the last; undefined for every other frame. */
function readBatch(bytes: Buffer): { events: number; cursor: bigint } | undefined {
  const place: Place = { bytes, at: 0 };
  if (varint(place) !== ((2 << 3) | LENGTH_DELIMITED)) return undefined;
  varint(place);
  let [events, cursor] = [0, 0];
  while (place.at < bytes.length) {
    if ((varint(place) & 7) !== LENGTH_DELIMITED) varint(place);
    else {
      const end = varint(place) + place.at;
      place.at++; // the tag of the cursor, which is written first
      cursor = varint(place);
      place.at = end;
      events++;
    }
  }
  return { events, cursor: BigInt(cursor) };
}
