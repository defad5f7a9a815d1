/**
 * A caller's sandbox, once its machine has started.
 * Promise: who asks right after the purchase waits for the machine instead of being refused.
 */
import { type Engine, readStream } from '@tallystick/engine';
import type { SandboxState } from '@tallystick/hosting';
import type { Call } from '@tallystick/surface';
import { ownSandbox } from './sandboxes.ts';

const START_MS_MAX = 30_000;
const LOOK_AGAIN_MS = 100;

/** @errors throws NOT_FOUND; whatever else the sandbox is by then, the rule itself tells. */
export async function readySandbox(engine: Engine, call: Call, id: string): Promise<SandboxState> {
  const giveUpAtMs = performance.now() + START_MS_MAX;
  let { state } = await ownSandbox(engine, call, id);
  while (state.status === 'starting' && performance.now() < giveUpAtMs && !call.signal.aborted) {
    await nextCommit(engine);
    state = ((await readStream(engine, `sandbox:${id}`))?.state as unknown as SandboxState | undefined) ?? state;
  }
  return state;
}

/** Something was committed, or a moment has passed. */
export async function nextCommit(engine: Engine): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stopListening = engine.onCommit(() => resolve());
  const timer = setTimeout(resolve, LOOK_AGAIN_MS);
  await promise;
  clearTimeout(timer);
  stopListening();
}
