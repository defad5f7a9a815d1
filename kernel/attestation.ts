/**
 * What a machine says of itself and of one sandbox, signed and bound to a nonce of the asker.
 * Promise: a statement that is not signed by the named key, or speaks of another nonce or sandbox, is refused by name.
 */
import { base64Bytes } from './base64.ts';
import { parseStrict } from './canonical.ts';
import { type Envelope, openEnvelope } from './dsse.ts';
import { SEALING_KEY_BYTES } from './hpke.ts';
import type { JsonObject } from './json.ts';

export const ATTESTATION_TYPE = 'application/vnd.tallystick.attestation+json';
/** Chosen by the asker: 16 to 64 random bytes in hex. */
export const ATTESTATION_NONCE = /^(?:[0-9a-f]{2}){16,64}$/;

/** Software speaks here, not hardware: it is worth as much as the trust in `warden_key`. */
export interface Attestation {
  mode: 'standard';
  nonce: string;
  /** Ed25519, base64; the same over restarts. */
  warden_key: string;
  /** X25519, base64; made anew at every start of the machine's warden. */
  sealing_key: string;
  boot_id: string;
  sandbox: string;
  incarnation: number;
  isolation: string;
  /** Hex SHA-256 of the rules the machine holds this sandbox to, as canonical JSON. */
  policy_hash: string;
  image: string;
  /** Hex SHA-256 of the image's manifest. */
  image_digest: string;
}

const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0 && value.length <= 256;
const isHash = (value: unknown): boolean => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isKey = (value: unknown): boolean =>
  typeof value === 'string' && base64Bytes(value)?.length === SEALING_KEY_BYTES;

const SHAPE: Record<keyof Attestation, (value: unknown) => boolean> = {
  mode: (value) => value === 'standard',
  nonce: (value) => typeof value === 'string' && ATTESTATION_NONCE.test(value),
  warden_key: isKey,
  sealing_key: isKey,
  boot_id: isText,
  sandbox: isText,
  incarnation: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  isolation: isText,
  policy_hash: isHash,
  image: isText,
  image_digest: isHash,
};

export interface AttestationWish {
  nonce: string;
  sandbox: string;
  /** Base64; absent: whichever key the statement names, which the caller should then compare with one it knows. */
  wardenKey?: string;
}

/** The statement, or which part of it does not hold. Never throws. */
export function verifyAttestation(envelope: Envelope, wish: AttestationWish): Attestation | { error: string } {
  const key = base64Bytes(wish.wardenKey ?? namedKey(envelope) ?? '');
  const payload = key && openEnvelope(envelope, ATTESTATION_TYPE, key);
  if (!payload) return { error: 'it is not signed by the key of the warden' };
  const wrong = Object.entries(SHAPE).find(([member, check]) => !check(payload[member]))?.[0];
  if (wrong) return { error: `${wrong} is malformed` };
  if (Object.keys(payload).length !== Object.keys(SHAPE).length) return { error: 'it has unknown members' };
  const told = payload as unknown as Attestation;
  if (told.warden_key !== key.toString('base64')) return { error: 'it names another key than the one that signed' };
  if (told.nonce !== wish.nonce) return { error: 'it answers another nonce' };
  return told.sandbox === wish.sandbox ? told : { error: 'it speaks of another sandbox' };
}

function namedKey({ payload }: Envelope): string | undefined {
  try {
    const key = (parseStrict(base64Bytes(payload) ?? new Uint8Array()) as JsonObject)['warden_key'];
    return typeof key === 'string' ? key : undefined;
  } catch {
    return undefined;
  }
}
