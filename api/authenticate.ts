/**
 * Who is asking: from the bearer credential to a principal.
 * Promise: unknown, revoked and expired keys look the same; the secret is compared in constant time and never stored;
 * a key's admin scope counts only while its owner is an administrator.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { type Engine, readStream } from '@tallystick/engine';
import { isKeyUsable, type KeyState } from '@tallystick/identity';
import { ADMIN_SCOPE } from '@tallystick/kernel';
import type { Principal } from '@tallystick/surface';

const CREDENTIAL = /^tally_(key_[0-9a-f]{32})_([A-Za-z0-9_-]{43})$/;
const US_PER_MS = 1_000n;

/** Undefined when the credential is good for nothing. */
export async function authenticate(
  engine: Engine,
  admins: ReadonlySet<string>,
  credential: string,
): Promise<Principal | undefined> {
  const [, keyId, secret] = CREDENTIAL.exec(credential) ?? [];
  if (!keyId || !secret) return undefined;
  const head = await readStream(engine, `key:${keyId}`);
  const key = head?.state as unknown as KeyState | undefined;
  if (!key || !isKeyUsable(key, BigInt(Date.now()) * US_PER_MS)) return undefined;
  const offered = hash('sha256', secret, 'buffer');
  if (!timingSafeEqual(offered, Buffer.from(key.hash, 'hex'))) return undefined;
  const scopes = key.scopes.filter((scope) => scope !== ADMIN_SCOPE || admins.has(key.principal));
  return { id: key.principal, keyId, scopes: new Set(scopes) };
}
