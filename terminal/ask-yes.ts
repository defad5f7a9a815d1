/**
 * A question that only a typed yes answers with yes.
 * Promise: an end of input, an interrupt and everything else mean no.
 */
import { createInterface } from 'node:readline/promises';
import type { Io } from './io.ts';

export async function askYes(io: Io, question: string): Promise<boolean> {
  const lines = createInterface({
    input: io.stdin,
    output: io.stderr,
    terminal: io.stdin.isTTY === true,
    historySize: 0,
  });
  const controller = new AbortController();
  for (const end of ['SIGINT', 'close'] as const) lines.on(end, () => controller.abort());
  try {
    return /^\s*y(es)?\s*$/i.test(await lines.question(question, { signal: controller.signal }));
  } catch {
    return false;
  } finally {
    lines.close();
  }
}
