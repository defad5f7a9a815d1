/**
 * A watch as a live topic: its cursor is that of its events.
 * Promise: a reader that comes back goes on behind its event, one that fell behind is told by an event; the last says why it ended.
 */
import { type FileEvent, type Provider, ProviderFault, type WatchPage } from '@tallystick/engine/adapters/provider';
import type { LiveEvent, LiveTopic } from '@tallystick/surface';
import { liveEvent } from './live-event.ts';
import { optionalTime } from './view-parts.ts';
import type { WatchActivity } from './watch-activity.ts';

const WAIT_MS = 10_000;
const RETRY_MS = 500;
/** Between two askings while there is something to read: a reader that takes nothing costs this little. */
const PAUSE_MS = 50;
/** How often an attached reader of a quiet directory counts as activity. */
const ATTACHED_EVERY_MS = 500;

export interface WatchPlace {
  sandbox: string;
  watchId: string;
}

/** An event in the words of the contract. */
export const fileEventMessage = ({ cursor, at_us, kind, path, from, type, reason }: FileEvent) => ({
  cursor: BigInt(cursor),
  ...optionalTime('at', String(at_us)),
  kind,
  path,
  from: from ?? '',
  type: type ?? '',
  reason: reason ?? '',
});

function topicEvent(event: FileEvent): LiveEvent {
  const { at, ...value } = fileEventMessage(event);
  const when = at ? { at } : {};
  return liveEvent({ cursor: value.cursor, ...when, body: { case: 'file', value: { ...value, ...when } } });
}

/** Undefined when there is no such watch, or it ended because nobody read it. */
export async function openWatchTopic(
  provider: Provider,
  { sandbox, watchId }: WatchPlace,
  activity: WatchActivity,
): Promise<LiveTopic | undefined> {
  const ask = (after: number, waitMs: number): Promise<WatchPage | undefined> =>
    unlessGone(provider.readWatch(sandbox, watchId, { after, waitMs }));
  if (!(await ask(0, 0))) return undefined;
  let isDone = false;
  let seenUpTo = 0;
  return {
    epoch: watchId,
    oldest: () => 0n, // who is behind is told by an event
    head: async () => BigInt((await ask(0, 0))?.head ?? 0),
    async read(after, limit) {
      if (isDone) return [];
      const page = await ask(Number(after), 0);
      const all = page?.events ?? [lostEvent(Number(after))];
      const events = all.slice(0, limit);
      seenUpTo = Math.max(seenUpTo, Number(after), events.at(-1)?.cursor ?? 0);
      isDone = page === undefined || (page.is_over && events.length === all.length);
      return events.map(topicEvent);
    },
    onAppend: (wake) =>
      follow({ ask: () => ask(seenUpTo, WAIT_MS), isDone: () => isDone, wake }, () => activity.note(sandbox)),
    done: () => isDone,
  };
}

const lostEvent = (after: number): FileEvent => ({
  cursor: after + 1,
  at_us: Date.now() * 1_000,
  kind: 'ended',
  path: '',
  from: null,
  type: null,
  reason: 'sandbox_ended',
});

async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (fault) {
    if (fault instanceof ProviderFault && fault.kind === 'gone') return undefined;
    throw fault;
  }
}

interface Following {
  ask(): Promise<WatchPage | undefined>;
  isDone(): boolean;
  wake(): void;
}

/** The machine holds the answer until there is more, so this costs one open request per reader. */
function follow({ ask, isDone, wake }: Following, attached: () => Promise<void>): () => void {
  let isStopped = false;
  const beat = setInterval(() => void attached(), ATTACHED_EVERY_MS).unref();
  void attached();
  const poll = async (): Promise<void> => {
    while (!isStopped && !isDone()) {
      const pauseMs = await ask().then(
        () => PAUSE_MS,
        () => RETRY_MS,
      );
      wake();
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    clearInterval(beat);
  };
  void poll();
  return () => {
    isStopped = true;
    clearInterval(beat);
  };
}
