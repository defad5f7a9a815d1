/**
 * The three kinds of streams that lead to a transaction: when each is ready, who signs it, and what the transaction says.
 * Promise: the one place that turns a stream's state into a call.
 */
import type { Authorization, ChainCall, SignerRole } from '@tallystick/engine/adapters/chain';
import { type JsonObject, kindOf } from '@tallystick/kernel';
import { type Broadcast, type QuoteState, SETTLE_TRIES_MAX, type SweepState } from '@tallystick/treasury';
import type { Address, Hex } from 'viem';

/** What all of them have. */
export type OutgoingState = { status: string; rail: string; broadcast: Broadcast; carried?: Broadcast };

interface OutgoingKind {
  role: SignerRole;
  /** Status while it waits to be signed. */
  ready: string;
  /** Status once its transaction did what it says, deep enough. */
  done: string;
  /** Further ones in which something final may be of it, which the chain may forget. */
  later: readonly string[];
  isReady(state: JsonObject): boolean;
  callOf(state: JsonObject): ChainCall;
  /** What the rule of signing must be told to find what it reads. */
  namedOf?(state: JsonObject): JsonObject;
}

export const OUTGOING: Readonly<Record<string, OutgoingKind>> = {
  quote: {
    role: 'relayer',
    ready: 'bound',
    done: 'paid',
    later: ['open', 'bound', 'lapsed'],
    isReady: (state) => (state as QuoteState).tries < SETTLE_TRIES_MAX,
    callOf: (state) => ({ kind: 'authorization', authorization: authorizationOf(state as QuoteState) }),
  },
  withdrawal: {
    role: 'treasury',
    ready: 'held',
    done: 'final',
    later: [],
    isReady: () => true,
    callOf: ({ to, amount_micros }) => ({ kind: 'transfer', to: to as Address, micros: BigInt(String(amount_micros)) }),
    namedOf: ({ principal = '' }) => ({ principal }),
  },
  sweep: {
    role: 'relayer',
    ready: 'planned',
    done: 'final',
    later: [],
    isReady: () => true,
    callOf: (state) => ({ kind: 'sweep', salts: (state as SweepState).salts as Hex[] }),
  },
};

/** @errors throws TypeError for a stream that leads to no transaction */
export function outgoingKindOf(stream: string): OutgoingKind {
  const kind = OUTGOING[kindOf(stream)];
  if (!kind) throw new TypeError(`no transaction follows from ${stream}`);
  return kind;
}

/** @errors throws TypeError for a quote without a payment, which is never bound */
function authorizationOf({ id, payment }: QuoteState): Authorization {
  if (!payment) throw new TypeError(`no payment is bound to ${id}`);
  return {
    from: payment.from as Address,
    to: payment.to as Address,
    value: BigInt(payment.value),
    validAfter: BigInt(payment.valid_after),
    validBefore: BigInt(payment.valid_before),
    nonce: payment.nonce as Hex,
    signature: payment.signature as Hex,
  };
}
