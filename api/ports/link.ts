/**
 * Signed links to open ports.
 * Promise: a link holds for one exposure of one port only; nothing of it is stored, and it is compared in constant time.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { OpenPort } from '@tallystick/hosting';
import { jcs } from '@tallystick/kernel';

const KEY_BYTES = 32;
const KEY_PURPOSE = 'tallystick port link 1';
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** The exposure that a link is for. */
export interface Exposure {
  sandbox: string;
  incarnation: number;
  port: Pick<OpenPort, 'port' | 'serial' | 'visibility' | 'expires_at_us'>;
}

export interface LinkSigner {
  tokenOf(exposure: Exposure): string;
  /** Whether `token` opens this exposure, which must still be open; never for a private one. */
  opens(token: string, exposure: Exposure): boolean;
}

/** The key comes from the seed of the caller key by HKDF, so that no link says anything of a ticket. */
export function linkSigner(callerSeed: Uint8Array): LinkSigner {
  const key = Buffer.from(hkdfSync('sha256', callerSeed, '', KEY_PURPOSE, KEY_BYTES));
  const tokenOf = ({ sandbox, incarnation, port }: Exposure): string => {
    const signed = jcs([sandbox, incarnation, port.port, port.serial, port.expires_at_us]);
    return createHmac('sha256', key).update(signed).digest('base64url');
  };
  return {
    tokenOf,
    opens(token, exposure) {
      if (exposure.port.visibility !== 'link' || !TOKEN.test(token)) return false;
      return timingSafeEqual(Buffer.from(token), Buffer.from(tokenOf(exposure)));
    },
  };
}
