/**
 * What a wallet means to pay, and did pay.
 * Promise: an intent is written before its payment can leave; whoever decides sees every earlier one, of all processes.
 */
import type { JsonObject } from '@tallystick/kernel';
import type { CallName } from './call.ts';

/**
 * `refused`: above the limits, waits for a person; `approved`: a person allowed it, not signed yet; `signed`: the authorization
 * exists and may be used; `bound`: the platform said that it carries it; `settled`: the platform took it.
 */
export type IntentStatus = 'refused' | 'approved' | 'signed' | 'bound' | 'settled';

/** One payment. Amounts in micros as decimal text, times in milliseconds since 1970 unless the name says seconds. */
export interface PaymentIntent extends JsonObject, CallName {
  /** `pay_` and 32 hex digits. */
  id: string;
  status: IntentStatus;
  origin: string;
  account: string;
  key: string;
  /** Counts the payments of one call. */
  turn: number;
  /** `POST https://…/v1/jobs`, for people. */
  call: string;
  quote_id: string;
  nonce: string;
  network: string;
  asset: string;
  pay_to: string;
  amount_micros: string;
  label: string;
  /** The option as the platform wrote it; empty once it is signed. */
  offer: JsonObject;
  /** How much a person allowed for this call, until it is signed. */
  approved_micros: string;
  /** When it was refused, approved or signed. */
  at_ms: number;
  /** Until when the offer stands. */
  expires_at_ms: number;
  /** Which limit was in the way, or why it could not be signed. */
  cause: string;
  /** Address that pays; empty until it is signed. */
  from: string;
  /** No block from this second on carries it out; 0 until it is signed. */
  valid_before_s: number;
  /** PAYMENT-SIGNATURE; empty until it is signed, and when it is settled and could not be used again. */
  header: string;
  /** The transaction that carried it. */
  tx: string;
}

/** What a decision leaves behind. */
export interface Change<T> {
  put: readonly PaymentIntent[];
  answer: T;
}

/** Where intents are kept. */
export interface IntentStore {
  read(): Promise<readonly PaymentIntent[]>;
  /**
   * Decides on all that is there and keeps what the decision puts, durably, before it answers. A decision may be taken more
   * than once, when somebody else was faster; only the last one counts.
   * @errors rejects with what `decide` throws, and when it cannot be kept
   */
  change<T>(decide: (intents: readonly PaymentIntent[]) => Change<T> | Promise<Change<T>>): Promise<T>;
}

export const DAY_MS = 86_400_000;
/** Intents that no limit and no repeat needs any more are kept for people to read, so many. */
export const READABLE_MAX = 200;

/** Clocks of chains and of this computer may differ by so much. */
const CLOCK_MARGIN_S = 60;
const MS_PER_S = 1_000;

/** From then on no block carries the payment out. */
export const deadAtMs = ({ valid_before_s }: PaymentIntent): number => (valid_before_s + CLOCK_MARGIN_S) * MS_PER_S;

const HAS_MONEY: ReadonlySet<IntentStatus> = new Set(['signed', 'bound', 'settled']);

/** Whether its money is gone or may go. */
export const isSpent = ({ status }: PaymentIntent): boolean => HAS_MONEY.has(status);

/** With what was put, oldest first; without what nobody needs. */
export function withPut(
  intents: readonly PaymentIntent[],
  put: readonly PaymentIntent[],
  nowMs: number,
): PaymentIntent[] {
  const isOver = (intent: PaymentIntent): boolean => intent.status === 'settled' && deadAtMs(intent) < nowMs;
  const lean = (intent: PaymentIntent): PaymentIntent => (isOver(intent) ? { ...intent, header: '' } : intent);
  const byId = new Map([...intents, ...put].map((intent) => [intent.id, lean(intent)]));
  const all = [...byId.values()].sort((a, b) => a.at_ms - b.at_ms);
  const isNeeded = (intent: PaymentIntent): boolean =>
    isSpent(intent) && (intent.at_ms > nowMs - DAY_MS || deadAtMs(intent) > nowMs);
  const readable = new Set(all.filter((intent) => !isNeeded(intent)).slice(-READABLE_MAX));
  return all.filter((intent) => isNeeded(intent) || readable.has(intent));
}

/** Kept as long as the process: for tests, and for programs that would rather lose a limit than have a folder. */
export function memoryIntents(nowMs: () => number = Date.now): IntentStore {
  let intents: readonly PaymentIntent[] = [];
  let last: Promise<unknown> = Promise.resolve();
  return {
    read: async () => intents,
    change(decide) {
      const changing = last.then(async () => {
        const { put, answer } = await decide(intents);
        intents = withPut(intents, put, nowMs());
        return answer;
      });
      last = changing.catch(() => undefined);
      return changing;
    },
  };
}
