/**
 * Encoding of live frames in both sub-protocols.
 * Promise: stored events are spliced into a binary batch as they are, never decoded and encoded again per reader.
 */
import { create, fromBinary, fromJsonString, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { createValidator } from '@bufbuild/protovalidate';
import { BatchSchema, type ClientFrame, ClientFrameSchema, EventSchema, ServerFrameSchema } from '@tallystick/proto';
import { LIVE_PROTO, type LiveProtocol } from './live-protocols.ts';

/** What the platform says, as the `frame` of a ServerFrame. */
export type Say = NonNullable<MessageInitShape<typeof ServerFrameSchema>['frame']>;

const BATCH_FIELD = ServerFrameSchema.field.batch.number;
const SUB_FIELD = BatchSchema.field.sub.number;
const EVENTS_FIELD = BatchSchema.field.events.number;

const validator = createValidator();

/** @errors throws for bytes that are no frame, or a frame that breaks its rules */
export function readFrame(data: Buffer, isBinary: boolean, protocol: LiveProtocol): ClientFrame['frame'] {
  if (isBinary !== (protocol === LIVE_PROTO)) throw new TypeError('the frame is of the other sub-protocol');
  const frame = isBinary ? fromBinary(ClientFrameSchema, data) : fromJsonString(ClientFrameSchema, data.toString());
  const result = validator.validate(ClientFrameSchema, frame);
  if (result.kind !== 'valid') throw result.error;
  return frame.frame;
}

export function printFrame(frame: Say, protocol: LiveProtocol): Uint8Array | string {
  const message = create(ServerFrameSchema, { frame });
  if (protocol === LIVE_PROTO) return toBinary(ServerFrameSchema, message);
  return toJsonString(ServerFrameSchema, message, { useProtoFieldName: true });
}

/** A ServerFrame with a Batch made of encoded events. */
export function spliceBatch(sub: number, events: readonly Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter().tag(BATCH_FIELD, WireType.LengthDelimited).fork();
  writer.tag(SUB_FIELD, WireType.Varint).uint32(sub);
  for (const event of events) writer.tag(EVENTS_FIELD, WireType.LengthDelimited).bytes(event);
  return writer.join().finish();
}

export function printBatch(sub: number, events: readonly Uint8Array[], protocol: LiveProtocol): Uint8Array | string {
  if (protocol === LIVE_PROTO) return spliceBatch(sub, events);
  const decoded = events.map((event) => fromBinary(EventSchema, event));
  return printFrame({ case: 'batch', value: { sub, events: decoded } }, protocol);
}
