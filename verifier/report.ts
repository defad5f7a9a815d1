/**
 * What a verification says.
 * Promise: every problem names its line; the list is bounded, the count is not.
 */

export const PROBLEMS_MAX = 50;

export interface Problem {
  /** Line of the export, from 1. */
  line: number;
  /** Position in the log, when a receipt is meant. */
  pos?: number;
  stream?: string;
  what: string;
}

export interface VerifyReport {
  /** Nothing was found wrong. */
  ok: boolean;
  /** The first line is the header of an export; without one nothing after it is looked at. */
  is_export: boolean;
  receipts: number;
  /** Receipts whose decision was made again; fewer than `receipts` when an export of some streams lacks what a rule looked at. */
  redecided: number;
  streams: number;
  tickets: number;
  /** The signed root; origin '' and size 0 when it could not be opened. */
  checkpoint: { origin: string; size: number };
  /** The C2SP verifier key that opened it; whoever does not know it by other means knows only that the export fits itself. */
  log_verifier: string;
  /** Whether the caller said which verifier key to expect, and it was this one. */
  pinned: boolean;
  /** Whose streams; null: the whole log. */
  owner: string | null;
  /** Credits minus debits over all accounts of an asset, decimal; `0` when conserved. */
  trial_balance: { asset: string; sum_micros: string }[];
  /** The first PROBLEMS_MAX of them, by line. */
  problems: Problem[];
  problems_total: number;
}

/** Where a check stands while it runs. */
export type Place = Omit<Problem, 'what'>;

export interface ProblemList {
  add(place: Place, what: string): void;
  readonly kept: Problem[];
  readonly total: number;
}

export function problemList(): ProblemList {
  const kept: Problem[] = [];
  let total = 0;
  return {
    kept,
    get total() {
      return total;
    },
    add(place, what) {
      total++;
      if (kept.length < PROBLEMS_MAX) kept.push({ ...place, what });
    },
  };
}
