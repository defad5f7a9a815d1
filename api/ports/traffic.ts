/**
 * What passes through open ports: noted as activity, cut when it may no longer.
 * Promise: activity is recorded at most every few seconds per sandbox, and nothing stays connected long after its leave ended.
 */
import type { Exposure } from './link.ts';

export const LOOK_AGAIN_MS = 15_000;

/** Something connected. */
export interface Passage {
  exposure: Exposure;
  owner: string;
  /** At most once per this long. */
  recordEveryMs: number;
  /** Asks again whether it may. */
  isStillAllowed(): Promise<boolean>;
  cut(): void;
}

export interface Traffic extends AsyncDisposable {
  /** Counts from now on; call what it returns when the passage is over. */
  begin(passage: Passage): () => void;
  /** Bytes passed. */
  note(passage: Passage): void;
  /** Cuts what is connected to a port of a sandbox. */
  cut(sandbox: string, port: number): void;
}

interface Recorder {
  isWaiting: boolean;
  isDue: boolean;
}

/** `record` tells the sandbox of activity; `onFault` hears when that or a look failed: the traffic goes on. */
export function portTraffic(
  record: (passage: Passage) => Promise<unknown>,
  onFault: (fault: unknown) => void,
): Traffic {
  const passages = new Set<Passage>();
  const recorders = new Map<string, Recorder>();
  const note = (passage: Passage): void => {
    const { sandbox } = passage.exposure;
    const recorder = recorders.get(sandbox) ?? { isWaiting: false, isDue: false };
    recorders.set(sandbox, recorder);
    if (recorder.isWaiting) {
      recorder.isDue = true;
      return;
    }
    recorder.isWaiting = true;
    record(passage).catch(onFault);
    const again = (): void => {
      recorders.delete(sandbox);
      if (recorder.isDue) note(passage);
    };
    setTimeout(again, passage.recordEveryMs).unref();
  };
  const looking = setInterval(() => void lookAgain(passages, onFault), LOOK_AGAIN_MS);
  return {
    begin(passage) {
      passages.add(passage);
      note(passage);
      return () => void passages.delete(passage);
    },
    note,
    cut(sandbox, port) {
      for (const passage of passages) {
        const { exposure } = passage;
        if (exposure.sandbox === sandbox && exposure.port.port === port) passage.cut();
      }
    },
    async [Symbol.asyncDispose]() {
      clearInterval(looking);
      for (const passage of passages) passage.cut();
    },
  };
}

async function lookAgain(passages: Set<Passage>, onFault: (fault: unknown) => void): Promise<void> {
  for (const passage of [...passages]) {
    const isAllowed = await passage.isStillAllowed().catch((fault: unknown) => {
      onFault(fault);
      return true;
    });
    if (!isAllowed) passage.cut();
  }
}
