/**
 * How long a machine has not been heard, and until when what runs on it may have run.
 * Promise: whoever was heard is not silent; a step that may have been delivered before the silence counts as delivered.
 */
import { renewBeforeMs, type SandboxState } from '@tallystick/hosting';

/** One failed attempt counts as this much silence at most: a meter that stood still itself has not heard anybody fail. */
export const ATTEMPT_MS_MAX = 35_000;
const US_PER_MS = 1_000;

/** When the machine last answered anybody in this program, on its steady clock. */
export interface Contact {
  heardAtMs: number;
  heard(): void;
}

export function newContact(nowMs: () => number = () => performance.now()): Contact {
  return {
    heardAtMs: Number.NEGATIVE_INFINITY,
    heard() {
      this.heardAtMs = nowMs();
    },
  };
}

/** The silence after one more failed attempt, which began at `startedAtMs` and was the first since `pausedMs` before. */
export function silenceAfter(
  silentMs: number,
  attempt: { startedAtMs: number; endedAtMs: number; pausedMs: number },
  { heardAtMs }: Pick<Contact, 'heardAtMs'>,
): number {
  const longerMs = Math.min(attempt.endedAtMs - attempt.startedAtMs, ATTEMPT_MS_MAX) + attempt.pausedMs;
  return Math.min(silentMs + longerMs, Math.max(0, attempt.endedAtMs - heardAtMs));
}

/**
 * The end of the last step that may have been delivered before the silence; not before the silence itself. That a machine
 * said it had started ends every silence from before.
 */
export function lastTicketEndsMs(
  { open_steps, quantum_ms, started_at_us }: Pick<SandboxState, 'open_steps' | 'quantum_ms' | 'started_at_us'>,
  silentSinceMs: number,
): number {
  const heardLastMs = Math.max(silentSinceMs, started_at_us === null ? 0 : msOf(started_at_us));
  const soldBeforeMs = heardLastMs + renewBeforeMs(quantum_ms);
  const delivered = open_steps.filter((step) => msOf(step.starts_at_us) <= soldBeforeMs);
  return Math.max(heardLastMs, ...delivered.map((step) => msOf(step.ends_at_us)));
}

const msOf = (us: string): number => Math.ceil(Number(us) / US_PER_MS);
