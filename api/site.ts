/**
 * The site that a login message must name.
 * Promise: never what a caller's Host header says alone, or a foreign page could collect signatures that work here.
 */
import { SettingError } from '@tallystick/engine/program';

export interface Site {
  domain: string;
  uri: string;
}

/** Tells the site for a request that named `host`. */
export type SiteOf = (host: string) => Site;

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

export const isLoopbackAddress = (host: string): boolean => LOOPBACK_NAMES.has(host) || host === '::1';

/**
 * With a public URL that URL's site; without one only loopback names count, whatever their port.
 * @errors throws when the api listens for others and has no public URL
 */
export function siteRule(listenHost: string, publicUrl: string | undefined): SiteOf {
  if (publicUrl !== undefined) {
    const { host, origin } = new URL(publicUrl);
    return () => ({ domain: host, uri: origin });
  }
  if (!isLoopbackAddress(listenHost)) {
    throw new SettingError(
      `the api listens on ${listenHost}: TALLY_PUBLIC_URL must say under which URL callers log in`,
    );
  }
  return (host) => {
    const named = isLoopbackHost(host) ? host : LOOPBACK_DEFAULT;
    return { domain: named, uri: `http://${named}` };
  };
}

const LOOPBACK_DEFAULT = '127.0.0.1';

/** A loopback name with or without a port. */
function isLoopbackHost(host: string): boolean {
  const name = /^(\[[0-9a-f:]+\]|[^:]+)(?::[0-9]{1,5})?$/i.exec(host)?.[1];
  return name !== undefined && LOOPBACK_NAMES.has(name.toLowerCase());
}
