/**
 * What a rule sees besides its own stream, and the record of what it looked at.
 * Promise: a rule that looks at what its `reads` did not name throws; what it looked at stands in the receipt.
 */
import type { Reads, Seen } from './decider.ts';
import type { JsonObject } from './json.ts';
import type { Receipt } from './receipt.ts';

/** Where facts come from: a cache, a world in memory, a receipt. */
export interface SeenSource {
  atUs: bigint;
  stream(name: string): { version: number; state: JsonObject };
  availableMicros(account: string): bigint | undefined;
}

export interface WatchedSeen {
  seen: Seen;
  /** Filled while the rule looks. */
  looked: Receipt['seen'];
}

/** @errors `seen` throws TypeError for a stream or account that `reads` did not name */
export function watchSeen(reads: Reads, source: SeenSource): WatchedSeen {
  const looked: Receipt['seen'] = { streams: {}, accounts: {} };
  const seen: Seen = {
    atUs: source.atUs,
    state(name) {
      if (!reads.streams?.includes(name))
        throw new TypeError(`the rule looks at the stream ${name}, its reads do not name it`);
      const { version, state } = source.stream(name);
      looked.streams[name] = version;
      return state;
    },
    availableMicros(account) {
      if (!reads.accounts?.includes(account))
        throw new TypeError(`the rule looks at the account ${account}, its reads do not name it`);
      const amountMicros = source.availableMicros(account);
      looked.accounts[account] = amountMicros === undefined ? null : String(amountMicros);
      return amountMicros;
    },
  };
  return { seen, looked };
}
