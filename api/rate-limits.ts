/**
 * How often one caller may ask: a token bucket per limit and caller, in the memory of this program.
 * Promise: a caller within its limit is never refused, and what is kept is bounded. Several api programs each allow the
 * whole limit; what must hold exactly is a cap of the policy, which the database keeps.
 */
import { isIPv4 } from 'node:net';
import { type Dispatch, type Operation, refuse } from '@tallystick/surface';
import type { FastifyInstance } from 'fastify';

/** Requests per minute; a caller that was quiet for a minute may use all of them at once. */
export interface RatesPerMinute {
  /** Reads of one principal. */
  principal_reads: number;
  /** Changes by one principal. */
  principal_writes: number;
  /** Nonces and logins from one address. */
  address_logins: number;
  /** Public reads from one address. */
  address_reads: number;
}

export type LimitName = keyof RatesPerMinute;

export interface RateLimits {
  /** Counts one request. @errors throws RATE_LIMITED, which says how long to wait */
  take(limit: LimitName, caller: string): void;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export const CALLERS_MAX = 50_000;
const MS_PER_MINUTE = 60_000;
const IPV6_GROUPS = 8;
/** One customer of a network has at least this much of it. */
const IPV6_NETWORK_GROUPS = 4;

/** `nowMs` never goes back. */
export function createRateLimits(rates: RatesPerMinute, nowMs: () => number = () => performance.now()): RateLimits {
  const buckets = new Map<string, Bucket>();
  return {
    take(limit, caller) {
      const [perMinute, atMs, name] = [rates[limit], nowMs(), `${limit} ${caller}`];
      const before = buckets.get(name) ?? { tokens: perMinute, atMs };
      const filled = before.tokens + ((atMs - before.atMs) * perMinute) / MS_PER_MINUTE;
      const tokens = Math.min(perMinute, filled);
      if (tokens < 1) throw tooOften(limit, perMinute, ((1 - tokens) * MS_PER_MINUTE) / perMinute);
      buckets.delete(name); // whoever asked last stands last
      buckets.set(name, { tokens: tokens - 1, atMs });
      if (buckets.size > CALLERS_MAX) buckets.delete(buckets.keys().next().value!);
    },
  };
}

const tooOften = (limit: LimitName, perMinuteMax: number, waitMs: number) =>
  refuse('RATE_LIMITED', { limit, per_minute_max: perMinuteMax, retry_after_ms: Math.ceil(waitMs) });

/** A dispatch that counts every call of a known principal before anything of it is read. */
export const limitedDispatch = (dispatch: Dispatch, limits: RateLimits): Dispatch => ({
  ...dispatch,
  async admit(operation, authorization) {
    const principal = await dispatch.admit(operation, authorization);
    if (principal) limits.take(operation.isReadOnly ? 'principal_reads' : 'principal_writes', principal.id);
    return principal;
  },
});

/** Counts calls of public methods by the address they come from. To be added before the routes. */
export function limitAddresses(app: FastifyInstance, operations: readonly Operation[], limits: RateLimits): void {
  const byRoute = new Map<string, LimitName>(
    operations
      .filter(({ isPublic }) => isPublic)
      .flatMap(({ routes, isReadOnly }) =>
        routes.map(
          ({ verb, template }) => [`${verb} ${template}`, isReadOnly ? 'address_reads' : 'address_logins'] as const,
        ),
      ),
  );
  app.addHook('onRequest', async (request) => {
    const limit = byRoute.get(`${request.method} ${request.routeOptions.url}`);
    if (limit) limits.take(limit, networkOf(request.ip));
  });
}

/** An IPv4 address itself, or the /64 network of an IPv6 address: its owner can use any address in it. */
export function networkOf(address: string): string {
  const mapped = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  if (isIPv4(mapped)) return mapped;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const [front, back] = [head, tail ?? ''].map((part) => (part === '' ? [] : part.split(':')));
  const zeros = tail === undefined ? 0 : IPV6_GROUPS - front!.length - back!.length;
  const groups = [...front!, ...Array<string>(zeros).fill('0'), ...back!];
  return `${groups.slice(0, IPV6_NETWORK_GROUPS).join(':')}::/64`;
}
