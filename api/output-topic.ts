/**
 * A command's output as a live topic: its cursor is the byte position in the combined log.
 * Promise: a reader that comes back continues at its byte; the last event says how the command ended.
 */
import {
  type ExecEnd,
  type OutputChunk,
  type OutputPage,
  type Provider,
  ProviderFault,
} from '@tallystick/engine/adapters/provider';
import type { LiveEvent, LiveTopic } from '@tallystick/surface';
import { liveEvent } from './live-event.ts';
import { timestampFromUs } from './view-parts.ts';

const PAGE_BYTES_MAX = 128 * 1024;
const WAIT_MS = 10_000;
const RETRY_MS = 500;
const US_PER_MS = 1_000n;
/** No reader stands behind it, whatever it has read before the machine was lost. */
const LOST_HEAD = BigInt(Number.MAX_SAFE_INTEGER);

/** Undefined when the machine lives and has no such command; of a lost machine nobody knows, so its topic says that. */
export async function openOutput(provider: Provider, sandbox: string, execId: string): Promise<LiveTopic | undefined> {
  try {
    await unlessLost(provider.getExec(sandbox, execId));
  } catch (fault) {
    if (fault instanceof ProviderFault && fault.kind === 'gone') return undefined;
    throw fault;
  }
  return outputTopic(provider, sandbox, execId);
}

export function outputTopic(provider: Provider, sandbox: string, execId: string): LiveTopic {
  let isDone = false;
  let seenUpTo = 0;
  const ask = (after: number, waitMs: number): Promise<OutputPage | undefined> =>
    unlessLost(provider.output(sandbox, execId, { after, waitMs, maxBytes: PAGE_BYTES_MAX }));
  return {
    epoch: execId, // names one output for good; the topic already names its sandbox
    windowUnit: 'kib',
    oldest: async () => BigInt((await ask(0, 0))?.first_cursor ?? 0),
    async head() {
      const view = await unlessLost(provider.getExec(sandbox, execId));
      if (!view) return LOST_HEAD;
      const { state, stdout_bytes, stderr_bytes } = view;
      return BigInt(stdout_bytes + stderr_bytes + (state === 'ended' ? 1 : 0));
    },
    async read(after) {
      if (isDone) return [];
      const page = await ask(Number(after), 0);
      if (!page) {
        isDone = true;
        return [endEvent(Number(after), { end: 'sandbox_lost' })];
      }
      const events = [
        ...page.chunks.map(outputEvent),
        ...(page.at_end && page.end ? [endEvent(page.next_cursor, page.end)] : []),
      ];
      isDone = page.at_end;
      seenUpTo = Math.max(seenUpTo, page.next_cursor);
      return events;
    },
    onAppend: (wake) =>
      pollForMore(
        () => ask(seenUpTo, WAIT_MS),
        () => isDone,
        wake,
      ),
    done: () => isDone,
  };
}

/** Undefined when the machine knows nothing of the sandbox any more: its output is gone, and nobody waits for it in vain. */
async function unlessLost<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (fault) {
    if (fault instanceof ProviderFault && fault.code === 'unknown_sandbox') return undefined;
    throw fault;
  }
}

/** The machine holds the answer until there is more, so this costs one open request per reader. */
function pollForMore(ask: () => Promise<unknown>, isDone: () => boolean, wake: () => void): () => void {
  let isStopped = false;
  const poll = async (): Promise<void> => {
    while (!isStopped && !isDone()) {
      await ask().catch(() => new Promise((resolve) => setTimeout(resolve, RETRY_MS)));
      wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  void poll();
  return () => {
    isStopped = true;
  };
}

const nowTime = () => timestampFromUs(BigInt(Date.now()) * US_PER_MS);

const outputEvent = ({ stream, cursor, bytes }: OutputChunk): LiveEvent =>
  liveEvent({
    cursor: BigInt(cursor + bytes.length),
    at: nowTime(),
    body: { case: 'output', value: { stream, bytes } },
  });

function endEvent(cursor: number, end: ExecEnd): LiveEvent {
  const value = {
    end: end.end,
    ...(end.end === 'exited' ? { exitCode: end.code } : {}),
    signal: end.end === 'signaled' ? end.signal : '',
    startError: end.end === 'not_started' ? end.code : '',
  };
  return liveEvent({ cursor: BigInt(cursor) + 1n, at: nowTime(), body: { case: 'execEnd', value } });
}
