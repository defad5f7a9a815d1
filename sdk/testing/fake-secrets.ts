/**
 * Attestation and secrets of the fake platform: real seals and statements, with keys of its own.
 * Promise: what it opened stands in `values`, for a test to look at.
 */
import { sha256Hex, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import { ATTESTATION_TYPE, openSecret, sealingKeyFromSeed } from '@tallystick/kernel/sealing';
import { SecretService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';

export interface FakeSecrets {
  /** By sandbox and name: `sbx_… NAME`. */
  values: Map<string, string>;
  /** The warden's key, base64. */
  wardenKey: string;
}

const AT = { seconds: 1_790_000_000n, nanos: 0 };
const INCARNATION = 1;

const keysOf = () => ({
  warden: signingKeyFromSeed(Buffer.alloc(32, 1)),
  sealing: sealingKeyFromSeed(Buffer.alloc(32, 2)),
});

export const newFakeSecrets = (): FakeSecrets => ({
  values: new Map(),
  wardenKey: keysOf().warden.publicKey.toString('base64'),
});

/** `check` refuses a sandbox that is not there; `changed` notes a change. */
export function fakeSecretsOf(
  { values }: FakeSecrets,
  check: (id: string) => void,
  changed: (method: string, call: Call) => void,
) {
  const { warden, sealing } = keysOf();
  const commitments = new Map<string, string>();
  const listed = (id: string, receiptId: string) => ({
    sandboxId: id,
    receiptId,
    secrets: [...commitments]
      .filter(([at]) => at.startsWith(`${id} `))
      .map(([at, commitment]) => ({ name: at.slice(id.length + 1), commitment, releasedAt: AT })),
  });
  return implement(SecretService, {
    getAttestation: ({ id, nonce }) => {
      check(id);
      const plain = { mode: 'standard', imageVersion: 'sandbox-base:v1.0.0' };
      if (nonce === '') return plain;
      const policy = '{"isolation":"fake"}';
      const told = {
        mode: 'standard',
        nonce,
        warden_key: warden.publicKey.toString('base64'),
        sealing_key: sealing.publicKey.toString('base64'),
        boot_id: 'fake-boot',
        sandbox: id,
        incarnation: INCARNATION,
        isolation: 'fake',
        policy_hash: sha256Hex(Buffer.from(policy)),
        image: 'sandbox-base:v1.0.0',
        image_digest: 'd'.repeat(64),
      };
      return { ...plain, policy, envelope: JSON.stringify(signEnvelope(ATTESTATION_TYPE, told, warden)) };
    },
    releaseSecrets: ({ id, incarnation, secrets }, call) => {
      check(id);
      for (const { name, sealed, commitment } of secrets) {
        const place = { sandbox: id, incarnation, name };
        const value = openSecret(sealing, place, { name, commitment, sealed: Buffer.from(sealed) });
        if (!value) throw refuse('SECRET_REFUSED', { name, cause: 'secret_not_opened' });
        values.set(`${id} ${name}`, value.toString());
        commitments.set(`${id} ${name}`, commitment);
      }
      changed(`releaseSecrets ${secrets.map(({ name }) => name).join(' ')}`, call);
      return listed(id, `rcp_${'6'.padStart(32, '0')}`);
    },
    listSecrets: ({ id }) => {
      check(id);
      return listed(id, '');
    },
  });
}
