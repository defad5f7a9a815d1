/**
 * What a machine says of itself, and secrets sealed to it here.
 * Promise: a value leaves this process sealed to a key whose statement was verified a moment before, or not at all.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Envelope } from '@tallystick/kernel';
import { type Attestation, SECRET_SALT_BYTES, sealSecret, verifyAttestation } from '@tallystick/kernel/sealing';
import type { ReleasedSecret } from '@tallystick/proto';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import { type Link, refuseHere } from './services.ts';

export type { Attestation } from '@tallystick/kernel/sealing';
export type { ReleasedSecret } from '@tallystick/proto';

const NONCE_BYTES = 32;
const SEED_BYTES = 32;

export interface AttestOptions extends Asked {
  /** Base64 of the warden's Ed25519 key as its operator tells it. Absent: whichever key signed, which is then yours to compare. */
  wardenKey?: string;
}

/** A statement whose signature, nonce, sandbox and policy were checked. */
export interface Attested extends Attestation {
  /** The rules that `policy_hash` is of, as canonical JSON. */
  policy: string;
}

/** @internal */
export async function attest(link: Link, id: string, { wardenKey, signal }: AttestOptions): Promise<Attested> {
  const nonce = randomBytes(NONCE_BYTES).toString('hex');
  const { envelope, policy = '' } = await link.services.secrets.getAttestation({ id, nonce }, askedOf({ signal }));
  const told = verifyAttestation(envelopeOf(envelope), {
    nonce,
    sandbox: id,
    ...(wardenKey === undefined ? {} : { wardenKey }),
  });
  if ('error' in told) throw refusedFor(told.error);
  if (createHash('sha256').update(policy).digest('hex') !== told.policy_hash)
    throw refusedFor('its policy is not the one it names');
  return { ...told, policy };
}

const refusedFor = (cause: string) =>
  refuseHere('ATTESTATION_REFUSED', {
    detail: `What the machine says of itself does not hold: ${cause}.`,
    facts: { cause },
  });

function envelopeOf(text: string | undefined): Envelope {
  try {
    return JSON.parse(text ?? '') as Envelope;
  } catch {
    throw refusedFor('there is no statement');
  }
}

/** @internal Attests, seals, releases; answers with all secrets that the sandbox has then. */
export async function releaseSecrets(
  link: Link,
  id: string,
  values: Readonly<Record<string, Uint8Array | string>>,
  { wardenKey, ...keyed }: AttestOptions & Keyed,
): Promise<ReleasedSecret[]> {
  const { incarnation, sealing_key } = await attest(link, id, {
    ...askedOf(keyed),
    ...(wardenKey === undefined ? {} : { wardenKey }),
  });
  const key = Buffer.from(sealing_key, 'base64');
  const secrets = Object.entries(values).map(([name, value]) =>
    sealSecret(key, { sandbox: id, incarnation, name }, Buffer.from(value), {
      seed: randomBytes(SEED_BYTES),
      salt: randomBytes(SECRET_SALT_BYTES),
    }),
  );
  const request = { id, incarnation, sealingKey: sealing_key, secrets };
  return (await link.services.secrets.releaseSecrets(request, keyOf(keyed))).secrets;
}
