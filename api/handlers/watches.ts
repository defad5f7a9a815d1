/**
 * Watches over the API: opened as receipted activity, read by cursor, and followed live under their topic.
 * Promise: nothing is kept here; a repeated key meets the watch it opened.
 */
import type { Engine } from '@tallystick/engine';
import type { Provider } from '@tallystick/engine/adapters/provider';
import { WatchService } from '@tallystick/proto';
import { implement } from '@tallystick/surface';
import { askFiles } from '../file-refusal.ts';
import { watchIdOf } from '../ids.ts';
import { commandFrom, executeFor } from '../outcome.ts';
import { askProvider } from '../provider-refusal.ts';
import type { WatchActivity } from '../watch-activity.ts';
import { fileEventMessage } from '../watch-topic.ts';
import { ownSandbox } from './sandboxes.ts';
import { workingSandbox } from './working-sandbox.ts';

export interface WatchOptions {
  engine: Engine;
  provider: Provider;
  /** Reaches the same machine, for what may wait long. */
  watching: Provider;
  activity: WatchActivity;
}

export const watchHandlers = ({ engine, provider, watching, activity }: WatchOptions) =>
  implement(WatchService, {
    async openWatch({ id, path, recursive }, call) {
      await workingSandbox(engine, call, id);
      const body = { cause: 'watch', path, recursive };
      const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'RecordActivity', body });
      const { receiptId } = await executeFor(engine, call, command);
      const watchId = watchIdOf(call.principal!.id, call.idempotencyKey);
      const opened = await askFiles({ path }, () =>
        provider.openWatch(id, { watch_id: watchId, path: path || '.', recursive }),
      );
      const { directories, next_after: cursor } = opened;
      return { sandboxId: id, watchId, path, recursive, directories, cursor: BigInt(cursor), receiptId };
    },
    async readWatch({ id, watchId, after, waitMs }, call) {
      await ownSandbox(engine, call, id);
      void activity.note(id);
      const query = { after: Number(after), waitMs: Number(waitMs) };
      const page = await askProvider('NOT_FOUND', {}, () => watching.readWatch(id, watchId, query));
      const { events, next_after: next, is_over: over } = page;
      return { events: events.map(fileEventMessage), nextAfter: BigInt(next), over };
    },
    async closeWatch({ id, watchId }, call) {
      await ownSandbox(engine, call, id);
      await askProvider('NOT_FOUND', {}, () => provider.closeWatch(id, watchId));
      return {};
    },
  });
