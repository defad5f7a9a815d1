/**
 * Watches of the fake platform: a test says what they see.
 * Promise: events come live and in order; every watch of one platform sees the same.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { EventSchema, WatchService } from '@tallystick/proto';
import { type Call, implement, type LiveEvent, type LiveTopic } from '@tallystick/surface';

export interface FakeFileEvent {
  kind: string;
  path: string;
  from?: string;
  type?: string;
  reason?: string;
}

export interface FakeWatches {
  opened: string[];
  closed: string[];
  /** All watches see this. */
  tell(event: FakeFileEvent): void;
  /** Undefined for one that was never opened, or that was dropped. */
  topic(watchId: string): LiveTopic | undefined;
  /** As when nobody read for too long. */
  drop(): void;
}

interface Kept {
  events: LiveEvent[];
  messages: (FakeFileEvent & { cursor: bigint })[];
  wakes: Set<() => void>;
  isOver: boolean;
}

export function newFakeWatches(): FakeWatches & { kept: Map<string, Kept> } {
  const kept = new Map<string, Kept>();
  return {
    kept,
    opened: [],
    closed: [],
    tell(event) {
      for (const watch of kept.values()) {
        const cursor = BigInt(watch.events.length + 1);
        const body = { case: 'file', value: { cursor, ...event } } as const;
        watch.events.push({ cursor, bytes: toBinary(EventSchema, create(EventSchema, { cursor, body })) });
        watch.messages.push({ cursor, ...event });
        watch.isOver ||= event.kind === 'ended';
        for (const wake of watch.wakes) wake();
      }
    },
    topic(watchId) {
      const watch = kept.get(watchId);
      if (!watch) return undefined;
      return {
        epoch: watchId,
        oldest: () => 0n,
        head: () => BigInt(watch.events.length),
        read: (after, limit) => watch.events.filter(({ cursor }) => cursor > after).slice(0, limit),
        onAppend: (wake) => {
          watch.wakes.add(wake);
          return () => void watch.wakes.delete(wake);
        },
        done: () => watch.isOver,
      };
    },
    drop: () => kept.clear(),
  };
}

export function fakeWatchesOf(
  watches: ReturnType<typeof newFakeWatches>,
  changed: (method: string, call: Call) => void,
) {
  return implement(WatchService, {
    openWatch: ({ id, path, recursive }, call) => {
      changed(`openWatch ${path}`, call);
      const watchId = `wch_${String(watches.opened.length + 1).padStart(32, '0')}`;
      watches.opened.push(path);
      watches.kept.set(watchId, { events: [], messages: [], wakes: new Set(), isOver: false });
      return { sandboxId: id, watchId, path, recursive, directories: 1, cursor: 0n };
    },
    readWatch: ({ watchId, after }) => {
      const events = (watches.kept.get(watchId)?.messages ?? []).filter(({ cursor }) => cursor > after);
      return { events, nextAfter: events.at(-1)?.cursor ?? after, over: false };
    },
    closeWatch: ({ watchId }, call) => {
      changed('closeWatch', call);
      watches.closed.push(watchId);
      return {};
    },
  });
}
