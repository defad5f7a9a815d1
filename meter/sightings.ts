/**
 * How long something odd has been seen without a break.
 * Promise: measured on this process's own steady clock; what is not seen again is forgotten.
 */
export interface Sightings {
  /** Notes that it is seen now; true when it has been seen for at least this long. */
  isLasting(what: string, ms: number): boolean;
  /** Ends a pass: forgets what was not seen since the last one. */
  forgetUnseen(): void;
}

export function newSightings(nowMs: () => number = () => performance.now()): Sightings {
  let before = new Map<string, number>();
  let now = new Map<string, number>();
  return {
    isLasting(what, ms) {
      const firstMs = before.get(what) ?? now.get(what) ?? nowMs();
      now.set(what, firstMs);
      return nowMs() - firstMs >= ms;
    },
    forgetUnseen() {
      before = now;
      now = new Map();
    },
  };
}
