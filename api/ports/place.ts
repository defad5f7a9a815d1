/**
 * Where open ports are reached: one host name, and so one web origin, for every sandbox and port.
 * Promise: a tenant's pages share an origin with nobody, least of all with the api.
 */

const LABEL = /^p([1-9][0-9]{0,4})-([0-9a-f]{32})$/;
const PORT_MAX = 65_535;
const SANDBOX_PREFIX = 'sbx_';

/** Names below `localhost` lead to this machine in every browser, without any setup. */
export const LOCAL_DOMAIN = 'localhost';

export interface PortPlace {
  sandbox: string;
  port: number;
}

export interface Places {
  protocol: 'http' | 'https';
  urlOf(place: PortPlace): string;
  /** Undefined for a host that is nobody's. */
  placeOf(host: string | undefined): PortPlace | undefined;
}

/** `base`: the URL whose host name lies above all of theirs, e.g. `https://ports.example.org`. */
export function placesBelow(base: string): Places {
  const { protocol, host, hostname } = new URL(base);
  return {
    protocol: protocol === 'https:' ? 'https' : 'http',
    urlOf: ({ sandbox, port }) => `${protocol}//p${port}-${sandbox.slice(SANDBOX_PREFIX.length)}.${host}`,
    placeOf(asked = '') {
      const name = asked.toLowerCase().replace(/:[0-9]{1,5}$/, '');
      if (!name.endsWith(`.${hostname}`)) return undefined;
      const [, port, hex] = LABEL.exec(name.slice(0, -hostname.length - 1)) ?? [];
      if (!port || !hex || Number(port) > PORT_MAX) return undefined;
      return { sandbox: SANDBOX_PREFIX + hex, port: Number(port) };
    },
  };
}
