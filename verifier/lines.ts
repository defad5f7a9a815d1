/**
 * Cuts a stream of bytes into lines.
 * Promise: at most one chunk and one line are held; a line beyond the limit or without its newline is told apart.
 */
import { EXPORT_LINE_BYTES_MAX } from '@tallystick/kernel';

export interface Line {
  /** From 1. */
  number: number;
  /** With the newline, if it has one; empty when the line is long. */
  bytes: Uint8Array;
  /** `cut`: the file ends before the newline. `long`: over EXPORT_LINE_BYTES_MAX; nothing after it is read. */
  state: 'whole' | 'cut' | 'long';
}

const NEWLINE = 0x0a;
const NOTHING = new Uint8Array(0);

export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let number = 0;
  let rest: Uint8Array = NOTHING;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const bytes = joined(rest, chunk.subarray(from, end + 1));
      if (bytes.length > EXPORT_LINE_BYTES_MAX) return yield { number: ++number, bytes: NOTHING, state: 'long' };
      yield { number: ++number, bytes, state: 'whole' };
      [rest, from] = [NOTHING, end + 1];
    }
    rest = joined(rest, chunk.subarray(from));
    if (rest.length > EXPORT_LINE_BYTES_MAX) return yield { number: ++number, bytes: NOTHING, state: 'long' };
  }
  if (rest.length > 0) yield { number: ++number, bytes: rest, state: 'cut' };
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  if (head.length === 0) return tail;
  return tail.length === 0 ? head : Buffer.concat([head, tail]);
}
