/**
 * An attached watch as activity of its sandbox.
 * Promise: recorded often enough for the shortest idle timeout and no oftener; a sandbox that does not run is not asked.
 */
import { type Engine, readStream } from '@tallystick/engine';
import type { SandboxState } from '@tallystick/hosting';
import { recordEveryMs } from './ports/gate.ts';

export interface WatchActivity {
  /** Somebody reads a watch of this sandbox. @errors never rejects: what could not be recorded is by the next reading */
  note(sandbox: string): Promise<void>;
}

export function watchActivity(engine: Engine): WatchActivity {
  /** Sandboxes whose next record is not due. */
  const quiet = new Set<string>();
  const record = async (sandbox: string): Promise<number> => {
    const head = await readStream(engine, `sandbox:${sandbox}`);
    const state = head?.state as unknown as SandboxState | undefined;
    if (state?.status !== 'running') return NOT_RUNNING_MS;
    await engine.execute({
      principal: state.owner,
      grant: 'watch',
      key: `watch-activity ${sandbox} ${engine.nowUs()}`,
      stream: `sandbox:${sandbox}`,
      type: 'RecordActivity',
      body: { cause: 'watch', incarnation: state.incarnation },
    });
    return recordEveryMs(state);
  };
  return {
    async note(sandbox) {
      if (quiet.has(sandbox)) return;
      quiet.add(sandbox);
      const quietMs = await record(sandbox).catch(() => NOT_RUNNING_MS);
      setTimeout(() => quiet.delete(sandbox), quietMs).unref();
    },
  };
}

/** How soon one that did not run, or that could not be asked, is asked again. */
const NOT_RUNNING_MS = 1_000;
