/**
 * Ways out of a sandbox: how far it may reach, and what was decided about each attempt.
 * Promise: decisions come in order and once; a reader that is late is told where the kept ones begin.
 */
import { type Egress, type EgressDecision, EgressMode } from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import type { Link } from './services.ts';

/** How far a sandbox may reach out. */
export interface EgressWish {
  /** Absent: `allowlist` when there are rules, else `none`. */
  mode?: 'none' | 'allowlist' | 'open';
  /** `host:ports`, e.g. `packages.example.org:443`, `*.example.com:80,443`, `192.0.2.0/24:*`. */
  allow?: readonly string[];
}

export interface EgressQuery extends Asked {
  /** Only decisions after this one. */
  after?: bigint;
  /** Wait so long for one, at most 30 000. */
  waitMs?: number;
}

const WAIT_MS = 20_000;
const MODE = { none: EgressMode.NONE, allowlist: EgressMode.ALLOWLIST, open: EgressMode.OPEN } as const;

/** @internal */
export const egressInput = ({ mode, allow = [] }: EgressWish) => ({
  mode: MODE[mode ?? (allow.length > 0 ? 'allowlist' : 'none')],
  allow: [...allow],
});

/** @internal */
export const setEgress = (link: Link, id: string, { key, signal, ...wish }: EgressWish & Keyed): Promise<Egress> =>
  link.services.egress.setEgress({ id, ...egressInput(wish) }, keyOf({ key, signal }));

/** @internal */
export function readEgress(link: Link, id: string, options: EgressQuery = {}): Promise<Egress> {
  const { after = 0n, waitMs = 0 } = options;
  return link.services.egress.getEgress({ id, after, waitMs }, askedOf(options));
}

/** Until the signal says stop. @internal */
export async function* followEgress(
  link: Link,
  id: string,
  { after = 0n, signal }: Asked & { after?: bigint } = {},
): AsyncGenerator<EgressDecision> {
  for (let at = after; !signal?.aborted; ) {
    const { decisions, nextAfter } = await readEgress(link, id, { after: at, waitMs: WAIT_MS, signal });
    yield* decisions;
    at = nextAfter;
  }
}
