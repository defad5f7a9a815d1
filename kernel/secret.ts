/**
 * A secret on its way to one life of one sandbox: sealed to its machine, named by a commitment that tells nothing.
 * Promise: it opens for that machine, that life and that name only, and only when the commitment is of this value.
 */
import { jcs } from './canonical.ts';
import { sha256Hex } from './hashes.ts';
import { SEAL_BYTES, type SealingKey, seal, unseal } from './hpke.ts';

/** Also a name for an environment variable and for a file. */
export const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
/** Shorter ones cannot be kept out of output: too much else looks like them. */
export const SECRET_BYTES_MIN = 8;
export const SECRET_BYTES_MAX = 16 * 1024;
export const SECRET_SALT_BYTES = 32;
export const SEALED_BYTES_MAX = SECRET_BYTES_MAX + SECRET_SALT_BYTES + SEAL_BYTES;
const INFO = Buffer.from('tallystick secret v1');

/** Where it is to go. */
export interface SecretPlace {
  sandbox: string;
  incarnation: number;
  name: string;
}

export interface SealedSecret {
  name: string;
  sealed: Buffer;
  /** Hex SHA-256 of salt, name, a zero byte and value: who holds the salt can prove later what was sent. */
  commitment: string;
}

/** `seed` and `salt` are 32 fresh random bytes each. @errors throws TypeError for a bad name, size or recipient key */
export function sealSecret(
  recipient: Uint8Array,
  place: SecretPlace,
  value: Uint8Array,
  { seed, salt }: { seed: Uint8Array; salt: Uint8Array },
): SealedSecret {
  const { name } = place;
  if (!SECRET_NAME.test(name)) throw new TypeError(`${name} is no name for a secret`);
  const wrong = wrongSize(value);
  if (wrong) throw new TypeError(wrong);
  const commitment = secretCommitment(salt, name, value);
  const words = { info: INFO, aad: boundTo(place, commitment) };
  return { name, commitment, sealed: seal(recipient, seed, words, Buffer.concat([salt, value])) };
}

/** The value, or undefined when anything about it is not as it says. Never throws. */
export function openSecret(recipient: SealingKey, place: SecretPlace, secret: SealedSecret): Buffer | undefined {
  if (secret.sealed.length > SEALED_BYTES_MAX || secret.name !== place.name) return undefined;
  const words = { info: INFO, aad: boundTo(place, secret.commitment) };
  const plain = unseal(recipient, words, secret.sealed);
  if (!plain) return undefined;
  const [salt, value] = [plain.subarray(0, SECRET_SALT_BYTES), plain.subarray(SECRET_SALT_BYTES)];
  const isHonest = secretCommitment(salt, place.name, value) === secret.commitment && !wrongSize(value);
  return isHonest ? value : undefined;
}

export const secretCommitment = (salt: Uint8Array, name: string, value: Uint8Array): string =>
  sha256Hex(Buffer.concat([salt, Buffer.from(`${name}\0`), value]));

/** Counted without the line ends at its end, which files have and shells drop. */
function wrongSize(value: Uint8Array): string | undefined {
  const bytes = withoutLineEnd(value).length;
  if (bytes < SECRET_BYTES_MIN) return `a secret has at least ${SECRET_BYTES_MIN} bytes, this has ${bytes}`;
  return value.length > SECRET_BYTES_MAX
    ? `a secret has at most ${SECRET_BYTES_MAX} bytes, this has ${value.length}`
    : undefined;
}

const LINE_ENDS = new Set([10, 13]);

export function withoutLineEnd(value: Uint8Array): Uint8Array {
  let end = value.length;
  while (end > 0 && LINE_ENDS.has(value[end - 1] as number)) end -= 1;
  return value.subarray(0, end);
}

const boundTo = ({ sandbox, incarnation, name }: SecretPlace, commitment: string): Buffer =>
  Buffer.from(jcs({ sandbox, incarnation, name, commitment }));
