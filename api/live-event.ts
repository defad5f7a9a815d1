/**
 * A live event in the form that topics keep: its cursor and its encoded bytes.
 * Promise: encoded once, whatever the number of readers.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { EventSchema } from '@tallystick/proto';
import type { LiveEvent } from '@tallystick/surface';

export function liveEvent(event: MessageInitShape<typeof EventSchema> & { cursor: bigint }): LiveEvent {
  return { cursor: event.cursor, bytes: toBinary(EventSchema, create(EventSchema, event)) };
}
