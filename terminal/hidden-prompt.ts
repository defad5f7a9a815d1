/**
 * A question whose answer stays off the screen.
 * Promise: nothing of the answer is echoed, kept in a history or put into an error.
 */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { type Io, write } from './io.ts';

/** One line from the keyboard; undefined when the question was left by an interrupt or an end of input. */
export async function askHidden(io: Io, question: string): Promise<string | undefined> {
  await write(io.stderr, question);
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: mute, terminal: true, historySize: 0 });
  const controller = new AbortController();
  for (const end of ['SIGINT', 'close'] as const) lines.on(end, () => controller.abort());
  try {
    return await lines.question('', { signal: controller.signal });
  } catch {
    return undefined;
  } finally {
    lines.close();
    await write(io.stderr, '\n');
  }
}
