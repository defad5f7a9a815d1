/**
 * What can be followed live: the caller's receipts, a job, a sandbox, a command's output, a watch of files, ways out.
 * Promise: a topic reads the log from a cursor; nothing is queued for a reader, and nobody follows what is not theirs.
 */
import { type Engine, head, type ReceiptRow, readReceipts, readStream } from '@tallystick/engine';
import type { Provider } from '@tallystick/engine/adapters/provider';
import { type Receipt, receiptIdOf } from '@tallystick/kernel';
import type { LiveEvent, LiveTopic, Principal } from '@tallystick/surface';
import { openEgressTopic } from './egress-topic.ts';
import { liveEvent } from './live-event.ts';
import { openOutput } from './output-topic.ts';
import { timestampFromUs } from './view-parts.ts';
import type { WatchActivity } from './watch-activity.ts';
import { openWatchTopic } from './watch-topic.ts';

export interface LiveSources {
  engine: Engine;
  provider: Provider;
  activity: WatchActivity;
}

const FILES_SCOPE = 'sandboxes:files';

/** Undefined for what does not exist or is somebody else's. */
export async function openTopic(
  sources: LiveSources,
  topic: string,
  principal: Principal,
): Promise<LiveTopic | undefined> {
  const { engine, provider, activity } = sources;
  const [kind = '', id = '', part] = topic.split('/');
  if (topic === 'account') return receiptTopic(engine, { owner: principal.id });
  if (!['job', 'sandbox', 'exec', 'watch', 'egress'].includes(kind)) return undefined;
  const isPart = kind === 'exec' || kind === 'watch';
  const stream = `${kind === 'job' ? kind : 'sandbox'}:${id}`;
  const found = await readStream(engine, stream);
  if (!found || found.owner !== principal.id) return undefined;
  if (kind === 'egress') return openEgressTopic(provider, id);
  if (!isPart) return receiptTopic(engine, { stream });
  if (part === undefined) return undefined;
  if (kind === 'exec') return openOutput(provider, id, part);
  if (!principal.scopes.has(FILES_SCOPE)) return undefined;
  return openWatchTopic(provider, { sandbox: id, watchId: part }, activity);
}

/** A receipt's cursor is its position plus one, so that 0 stands before the first. */
function receiptTopic(engine: Engine, which: { owner: string } | { stream: string }): LiveTopic {
  return {
    epoch: engine.origin,
    oldest: () => 0n,
    head: async () => BigInt(await head(engine)),
    async read(after, limit) {
      const rows = await readReceipts(engine, { ...which, after: Number(after) - 1, limit });
      return rows.map((row) => receiptEvent(engine, row));
    },
    onAppend: (wake) => engine.onCommit(() => wake()),
  };
}

function receiptEvent(engine: Engine, { pos, bytes }: ReceiptRow): LiveEvent {
  const body = bytes.toString('utf8');
  const atUs = BigInt((JSON.parse(body) as Receipt).at_us);
  const receipt = { receiptId: receiptIdOf(engine.shard, pos, atUs), body };
  return liveEvent({ cursor: BigInt(pos) + 1n, at: timestampFromUs(atUs), body: { case: 'receipt', value: receipt } });
}
