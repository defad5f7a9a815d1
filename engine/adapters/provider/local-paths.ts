/**
 * Paths of sandboxes on this machine, as calls to its warden.
 * Promise: as `localProvider`.
 */
import type { PathCalls, WatchCalls } from './port-files.ts';

/** A digest of the largest file that has one takes about this long on a busy machine. */
const DIGEST_MS_MAX = 60_000;
/** Removing a million entries. */
const CHANGE_MS_MAX = 60_000;

interface PathAsk {
  verb: 'get' | 'put';
  sandbox: string;
  method: 'GET' | 'POST';
  path: string;
  query?: Record<string, string | number | undefined>;
  json?: object;
  waitMs?: number;
}

type Answer = <T>(ask: PathAsk) => Promise<T>;

/** `one` is the warden's path of a sandbox. */
export function pathCalls(answer: Answer, one: (sandbox: string) => string): PathCalls {
  const change = (verb: 'mkdir' | 'move' | 'remove', sandbox: string, json: object) => {
    const ask = { verb: 'put', sandbox, method: 'POST', path: `${one(sandbox)}/${verb}`, json } as const;
    return answer<{ entries: number }>({ ...ask, waitMs: CHANGE_MS_MAX });
  };
  return {
    statPath: (sandbox, path, digest = false) => {
      const query = { path, digest: digest ? 1 : undefined };
      const ask = { verb: 'get', sandbox, method: 'GET', path: `${one(sandbox)}/stat`, query } as const;
      return answer({ ...ask, waitMs: digest ? DIGEST_MS_MAX : 0 });
    },
    makeFolder: (sandbox, order) => change('mkdir', sandbox, order),
    movePath: (sandbox, order) => change('move', sandbox, order),
    removePath: (sandbox, order) => change('remove', sandbox, order),
  };
}

/** `one` is the warden's path of a sandbox. */
export function watchCalls(answer: Answer, one: (sandbox: string) => string): WatchCalls {
  const ofWatch = (sandbox: string, id: string): string => `${one(sandbox)}/watches/${encodeURIComponent(id)}`;
  return {
    openWatch: (sandbox, order) =>
      answer({ verb: 'get', sandbox, method: 'POST', path: `${one(sandbox)}/watches`, json: order }),
    readWatch: (sandbox, watchId, { after = 0, waitMs = 0 } = {}) => {
      const query = { after, wait_ms: waitMs };
      return answer({ verb: 'get', sandbox, method: 'GET', path: ofWatch(sandbox, watchId), query, waitMs });
    },
    closeWatch: async (sandbox, watchId) => {
      const path = `${ofWatch(sandbox, watchId)}/close`;
      await answer({ verb: 'get', sandbox, method: 'POST', path, json: {} });
    },
  };
}
