/**
 * The side door of the kernel for secrets: sealing, what a machine says of itself, and keeping values out of output.
 * Promise: pure; randomness is an argument.
 */
export {
  ATTESTATION_NONCE,
  ATTESTATION_TYPE,
  type Attestation,
  type AttestationWish,
  verifyAttestation,
} from './attestation.ts';
export { type SealingKey, sealingKeyFromSeed } from './hpke.ts';
export { MASK, NO_REDACTION, type Redaction, type Redactor, redactionOf, redactor } from './redaction.ts';
export {
  openSecret,
  SEALED_BYTES_MAX,
  SECRET_BYTES_MAX,
  SECRET_BYTES_MIN,
  SECRET_NAME,
  SECRET_SALT_BYTES,
  type SealedSecret,
  type SecretPlace,
  sealSecret,
  secretCommitment,
} from './secret.ts';
