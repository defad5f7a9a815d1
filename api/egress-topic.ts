/**
 * Decisions about a sandbox's ways out as a live topic: its cursor is a decision's number.
 * Promise: a reader that comes back goes on behind its decision; a machine that knows nothing more ends the topic.
 */
import {
  type EgressDecision,
  type EgressPage,
  type Provider,
  ProviderFault,
} from '@tallystick/engine/adapters/provider';
import type { LiveEvent, LiveTopic } from '@tallystick/surface';
import { liveEvent } from './live-event.ts';
import { egressDecisionMessage } from './views/egress.ts';

const WAIT_MS = 10_000;
/** After an answer without a decision, or none at all: an ended sandbox is not waited for by its machine. */
const QUIET_MS = 500;
/** Behind every decision; a machine reads positions of at most 15 digits. */
const NEWEST = 999_999_999_999_999;

function topicEvent(decision: EgressDecision): LiveEvent {
  const value = egressDecisionMessage(decision);
  return liveEvent({ cursor: value.seq, at: value.at, body: { case: 'egress', value } });
}

/** Undefined when the machine has no such sandbox. */
export async function openEgressTopic(provider: Provider, sandbox: string): Promise<LiveTopic | undefined> {
  let isDone = false;
  let seenUpTo = 0;
  const ask = async (after: number, waitMs: number): Promise<EgressPage | undefined> => {
    const page = await unlessGone(provider.egress(sandbox, after, waitMs));
    isDone = page === undefined;
    return page;
  };
  if (!(await ask(NEWEST, 0))) return undefined;
  return {
    epoch: sandbox,
    oldest: async () => BigInt(Math.max(0, ((await ask(NEWEST, 0))?.first_seq ?? 1) - 1)),
    head: async () => BigInt((await ask(NEWEST, 0))?.next_after ?? 0),
    async read(after, limit) {
      const decisions = (await ask(Number(after), 0))?.decisions.slice(0, limit) ?? [];
      seenUpTo = Math.max(seenUpTo, Number(after), decisions.at(-1)?.seq ?? 0);
      return decisions.map(topicEvent);
    },
    onAppend: (wake) =>
      follow(
        async () => (await ask(seenUpTo, WAIT_MS))?.decisions.length ?? 0,
        () => isDone,
        wake,
      ),
    done: () => isDone,
  };
}

async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (fault) {
    if (fault instanceof ProviderFault && fault.kind === 'gone') return undefined;
    throw fault;
  }
}

/** The machine holds the answer until there is a decision, so this costs one open request per reader. */
function follow(ask: () => Promise<number>, isDone: () => boolean, wake: () => void): () => void {
  let isStopped = false;
  const poll = async (): Promise<void> => {
    while (!isStopped && !isDone()) {
      await ask().catch(() => 0);
      wake();
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
  };
  void poll();
  return () => {
    isStopped = true;
  };
}
