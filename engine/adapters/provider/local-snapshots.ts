/**
 * What the local provider asks its warden about snapshots.
 * Promise: one is taken once per name, however often it is asked for.
 */
import type { Provider, SnapshotView } from './port.ts';

interface Ask {
  verb: 'read' | 'snapshot';
  sandbox: string;
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  json?: object;
  waitMs?: number;
}

type Answer = <T>(ask: Ask) => Promise<T>;

/** Copying, checking and reading through a large disk takes its time; a repetition finds the first one's work. */
const TAKE_MS_MAX = 120_000;

export function snapshotCalls(answer: Answer) {
  return {
    takeSnapshot: (sandbox, order) => {
      const path = `/v1/sandboxes/${encodeURIComponent(sandbox)}/snapshots`;
      return answer<SnapshotView>({
        verb: 'snapshot',
        sandbox,
        method: 'POST',
        path,
        json: order,
        waitMs: TAKE_MS_MAX,
      });
    },
    listSnapshots: async () => {
      const ask = { verb: 'read', sandbox: '*', method: 'GET', path: '/v1/snapshots' } as const;
      return (await answer<{ snapshots: SnapshotView[] }>(ask)).snapshots;
    },
    deleteSnapshot: async (snapshot) => {
      const path = `/v1/snapshots/${encodeURIComponent(snapshot)}`;
      await answer({ verb: 'snapshot', sandbox: '*', method: 'DELETE', path });
    },
  } satisfies Partial<Provider>;
}
