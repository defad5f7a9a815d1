/**
 * The machine's signed word on one sandbox, and the key that secrets for it are sealed to.
 * Promise: the sealing key lives in this process only and dies with it; a statement names the asker's nonce.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Envelope, type JsonObject, jcs, type SigningKey, sha256Hex, signEnvelope } from '@tallystick/kernel';
import {
  ATTESTATION_NONCE,
  ATTESTATION_TYPE,
  type Attestation,
  type SealingKey,
  sealingKeyFromSeed,
} from '@tallystick/kernel/sealing';
import { invalid } from './fault.ts';
import type { Held } from './held.ts';

const SEED_BYTES = 32;

export interface AttesterOptions {
  key: SigningKey;
  bootId: string;
  filterFile: string;
  imageDigest: () => Promise<string>;
  descriptor: () => JsonObject;
}

export interface Attester {
  sealing: SealingKey;
  /** @errors rejects with Fault `invalid` for a nonce that is none */
  statement(held: Held, nonce: string): Promise<{ envelope: Envelope; policy: string }>;
}

export function attesterFor(options: AttesterOptions): Attester {
  const sealing = sealingKeyFromSeed(randomBytes(SEED_BYTES));
  const filterHash = sha256Hex(readFileSync(options.filterFile));
  return {
    sealing,
    async statement(held, nonce) {
      if (!ATTESTATION_NONCE.test(nonce)) throw invalid('nonce must be 16 to 64 bytes in lower-case hex');
      const policy = policyOf(held, options.descriptor(), filterHash);
      const told: Attestation = {
        mode: 'standard',
        nonce,
        warden_key: options.key.publicKey.toString('base64'),
        sealing_key: sealing.publicKey.toString('base64'),
        boot_id: options.bootId,
        sandbox: held.name,
        incarnation: held.incarnation,
        isolation: String(options.descriptor()['isolation']),
        policy_hash: sha256Hex(Buffer.from(policy)),
        image: held.image,
        image_digest: await options.imageDigest(),
      };
      return { envelope: signEnvelope(ATTESTATION_TYPE, { ...told }, options.key), policy };
    },
  };
}

/** The rules this machine holds the sandbox to, as canonical JSON. */
function policyOf(held: Held, descriptor: JsonObject, filterHash: string): string {
  const { isolation, enforcement, quotas, egress } = descriptor;
  const { mode, allow } = held.egress.policy;
  const { cpuMillis, memoryBytesMax, pidsMax, diskBytesMax } = held.shape;
  return jcs({
    isolation: isolation ?? null,
    enforcement: enforcement ?? null,
    quotas: quotas ?? null,
    egress_kinds: egress ?? null,
    egress: { mode, allow },
    system_call_filter_sha256: filterHash,
    cpu_millis: cpuMillis,
    memory_bytes_max: memoryBytesMax,
    disk_bytes_max: diskBytesMax,
    pids_max: pidsMax,
    grace_ms: held.graceMs,
  });
}
