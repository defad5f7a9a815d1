/**
 * Attestation and sealed secrets: named in a receipt, then carried to the machine as they came.
 * Promise: this program holds no key that opens a value, and no value reaches it in clear.
 */
import type { Engine } from '@tallystick/engine';
import type { Provider, SecretView } from '@tallystick/engine/adapters/provider';
import { type ReleaseSecretsRequest, SecretService } from '@tallystick/proto';
import { implement, refuse } from '@tallystick/surface';
import { commandFrom, executeFor } from '../outcome.ts';
import { askProvider } from '../provider-refusal.ts';
import { timestampFromUs } from '../view-parts.ts';
import { readySandbox } from './ready-sandbox.ts';
import { workingSandbox } from './working-sandbox.ts';

export const secretHandlers = (engine: Engine, provider: Provider) =>
  implement(SecretService, {
    async getAttestation({ id, nonce }, call) {
      await readySandbox(engine, call, id);
      const told = await askProvider('NOT_FOUND', {}, () => provider.attest(id, nonce || undefined));
      return {
        mode: told.mode,
        imageVersion: told.image_version,
        ...(told.measurement === null ? {} : { measurement: told.measurement }),
        ...(told.signed ? { envelope: JSON.stringify(told.signed.envelope), policy: told.signed.policy } : {}),
      };
    },
    async releaseSecrets(request, call) {
      const { id } = request;
      await workingSandbox(engine, call, id);
      const order = orderOf(request);
      const body = {
        incarnation: order.incarnation,
        sealing_key: order.sealing_key,
        secrets: order.secrets.map(({ name, commitment }) => ({ name, commitment })),
      };
      const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'SendSecrets', body });
      const { receiptId } = await executeFor(engine, call, command);
      const secrets = await askProvider('SECRET_REFUSED', {}, () => provider.releaseSecrets(id, order));
      return { sandboxId: id, secrets: secrets.map(secretMessage), receiptId };
    },
    async listSecrets({ id }, call) {
      await readySandbox(engine, call, id);
      const secrets = await askProvider('NOT_FOUND', {}, () => provider.listSecrets(id));
      return { sandboxId: id, secrets: secrets.map(secretMessage), receiptId: '' };
    },
  });

const orderOf = ({ incarnation, sealingKey, secrets }: ReleaseSecretsRequest) => ({
  incarnation,
  sealing_key: sealingKey,
  secrets: secrets.map(({ name, sealed, commitment }) => ({ name, commitment, sealed: Buffer.from(sealed) })),
});

const secretMessage = ({ name, commitment, released_at_us }: SecretView) => ({
  name,
  commitment,
  releasedAt: timestampFromUs(BigInt(Math.trunc(released_at_us))),
});

/**
 * Before a command is receipted: it would be refused for ever after.
 * @errors throws SECRETS_NOT_RELEASED naming what is missing
 */
export async function checkReleased(provider: Provider, id: string, names: string[], sensitive: boolean) {
  if (names.length === 0 && !sensitive) return;
  const released = await askProvider('EXEC_REFUSED', {}, () => provider.listSecrets(id));
  const missing = names.filter((name) => !released.some((one) => one.name === name));
  if (missing.length > 0) throw refuse('SECRETS_NOT_RELEASED', { missing: missing.join(' ') });
  if (released.length === 0) throw refuse('SECRETS_NOT_RELEASED', { missing: '*' });
}
