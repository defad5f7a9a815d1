/**
 * What of a message's head passes between the outside and a program in a sandbox.
 * Promise: no credential of the platform reaches a tenant, nothing meant for one connection leaves it, and no tenant
 * sets a cookie for anybody but its own host.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** Holds the token of a link. */
export const LINK_COOKIE = 'tally_port';
/** An API key starts so; any other credential is the tenant's own business. */
const API_KEY = /^bearer\s+tally_/i;

/** RFC 9110 section 7.6.1, and what only old proxies say. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);
/** Only this proxy says where a request comes from. */
const FORWARDING = /^(?:forwarded|x-forwarded-.*|x-real-ip)$/;

/** Where a request came from. */
export interface Origin {
  address: string;
  host: string;
  protocol: 'http' | 'https';
}

function endToEnd(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.has(name));
  return Object.fromEntries(kept);
}

/** Cookies of a request without the platform's own; undefined when none is left. */
function ownCookies(cookies: string): string | undefined {
  const kept = cookies.split(';').filter((pair) => pair.split('=')[0]?.trim() !== LINK_COOKIE);
  return kept.length === 0 ? undefined : kept.join(';').trim();
}

/** The value of one cookie of a request. */
export function cookieIn(headers: IncomingHttpHeaders, name: string): string | undefined {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

export const apiKeyIn = ({ authorization = '' }: IncomingHttpHeaders): string | undefined =>
  API_KEY.test(authorization) ? authorization.replace(/^bearer\s+/i, '') : undefined;

/** The head of a request as the tenant's program gets it. */
export function headForTenant(headers: IncomingHttpHeaders, origin: Origin): OutgoingHttpHeaders {
  const head = endToEnd(headers);
  for (const name of Object.keys(head)) if (FORWARDING.test(name)) delete head[name];
  if (apiKeyIn(headers)) delete head['authorization'];
  const cookies = headers.cookie === undefined ? undefined : ownCookies(headers.cookie);
  delete head['cookie'];
  return {
    ...head,
    ...(cookies ? { cookie: cookies } : {}),
    ...(headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' }),
    'x-forwarded-for': origin.address,
    'x-forwarded-host': origin.host,
    'x-forwarded-proto': origin.protocol,
  };
}

/** Undefined for a cookie that would take the platform's place. */
function cookieOfTenant(cookie: string): string | undefined {
  if (cookie.split('=')[0]?.trim() === LINK_COOKIE) return undefined;
  const [pair = '', ...attributes] = cookie.split(';');
  return [pair, ...attributes.filter((attribute) => !/^\s*domain\s*(?:=|$)/i.test(attribute))].join(';');
}

/** The head of a response as the outside gets it. */
export function headFromTenant(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const { 'set-cookie': cookies, ...head } = endToEnd(headers);
  const kept = (cookies as string[] | undefined)?.flatMap((cookie) => cookieOfTenant(cookie) ?? []) ?? [];
  return { ...head, ...(kept.length > 0 ? { 'set-cookie': kept } : {}) };
}

/**
 * A page of another host asks with the visitor's cookie: neighbours below one domain count as one site to a browser, so
 * SameSite alone does not keep them apart. Opening a page by following a link is not meant.
 */
export function isForeignPage(headers: IncomingHttpHeaders): boolean {
  const { origin, host = '', 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) return true;
  return (site === 'same-site' || site === 'cross-site') && mode !== 'navigate';
}
