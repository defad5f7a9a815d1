/**
 * Snapshots: file systems that outlive their sandboxes.
 * Promise: a snapshot that this gives back is whole; nothing of it is ever started from unverified.
 */
import { OnEnd, type Snapshot } from '@tallystick/proto';
import { type Keyed, keyOf } from './ids.ts';
import { pagesOf } from './pages.ts';
import type { Link } from './services.ts';

export interface SnapshotOptions extends Keyed {
  label?: string;
  /** How long it is kept; absent: as long as the tier allows. */
  ttlMs?: bigint;
  /** How long to wait until it is whole; absent: 60 seconds. 0n: not at all, then look again with `snapshots.get`. */
  waitMs?: bigint;
}

export interface Snapshots {
  /** Those that are kept, newest first, page by page as they are asked for. */
  list(filter?: { sandboxId?: string }): AsyncIterable<Snapshot>;
  /** Also one that is not kept any more. @errors ApiError `not_found` */
  get(id: string): Promise<Snapshot>;
  /** Sandboxes that were started from it stay as they are. @errors ApiError `not_found`, `nothing_to_change` */
  delete(id: string, options?: Keyed): Promise<Snapshot>;
}

/** @internal */
export function takeSnapshot(link: Link, id: string, options: SnapshotOptions = {}): Promise<Snapshot> {
  const { label = '', ttlMs, waitMs, ...keyed } = options;
  const times = { ...(ttlMs === undefined ? {} : { ttlMs }), ...(waitMs === undefined ? {} : { waitMs }) };
  return link.services.snapshots.createSnapshot({ id, label, ...times }, keyOf(keyed));
}

/** @internal */
export function snapshotsOf(link: Link): Snapshots {
  const { snapshots } = link.services;
  return {
    list: (filter = {}) =>
      pagesOf(async (pageToken) => {
        const page = await snapshots.listSnapshots({ pageToken, sandboxId: filter.sandboxId ?? '' });
        return { items: page.snapshots, next: page.nextPageToken };
      }),
    get: (id) => snapshots.getSnapshot({ id }),
    delete: (id, options) => snapshots.deleteSnapshot({ id }, keyOf(options)),
  };
}

/** @internal The word of an option as the contract's value. */
export function withEnd<T extends { onEnd?: 'discard' | 'snapshot' }>(input: T): Omit<T, 'onEnd'> & { onEnd?: OnEnd } {
  const { onEnd, ...more } = input;
  return onEnd === undefined ? more : { ...more, onEnd: onEnd === 'snapshot' ? OnEnd.SNAPSHOT : OnEnd.DISCARD };
}
