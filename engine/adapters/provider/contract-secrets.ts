/**
 * What every provider must do with attestation and secrets, as part of the suite over the port.
 * Promise: a value that was released reaches the commands that name it, and no output.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { sha256Hex } from '@tallystick/kernel';
import { type Attestation, MASK, sealSecret, verifyAttestation } from '@tallystick/kernel/sealing';
import type { ContractRig } from './contract.ts';
import { ProviderFault } from './port.ts';

const NONCE = '0f'.repeat(16);
const VALUE = 'correct-horse-battery';
const WAIT_MS = 10_000;

const isFault =
  (code: string, kind = 'refused') =>
  (fault: unknown) => {
    assert.ok(fault instanceof ProviderFault, String(fault));
    assert.deepEqual([fault.kind, fault.code], [kind, code]);
    return true;
  };

async function attested({ provider }: ContractRig, sandbox: string): Promise<Attestation> {
  const { signed } = await provider.attest(sandbox, NONCE);
  assert.ok(signed);
  const told = verifyAttestation(signed.envelope, { nonce: NONCE, sandbox });
  assert.ok(!('error' in told), JSON.stringify(told));
  assert.equal(told.policy_hash, sha256Hex(Buffer.from(signed.policy)));
  return told;
}

function orderFor(told: Attestation, value = VALUE, name = 'TOKEN') {
  const { sandbox, incarnation, sealing_key } = told;
  const seeds = { seed: randomBytes(32), salt: randomBytes(32) };
  const key = Buffer.from(sealing_key, 'base64');
  const secret = sealSecret(key, { sandbox, incarnation, name }, Buffer.from(value), seeds);
  return { incarnation, sealing_key, secrets: [secret] };
}

async function outputOf({ provider }: ContractRig, sandbox: string, execId: string, line: string, secrets: string[]) {
  await provider.startExec(sandbox, { exec_id: execId, argv: ['sh', '-c', line], secrets });
  await provider.getExec(sandbox, execId, WAIT_MS);
  const { chunks } = await provider.output(sandbox, execId);
  return Buffer.concat(chunks.map(({ bytes }) => bytes)).toString();
}

/** Call inside a `describe`; `fresh` starts a sandbox of its own. */
export function secretContract(rigged: () => ContractRig, fresh: (rig: ContractRig) => Promise<string>): void {
  test('a machine speaks of a sandbox in the plain form, and signed for a nonce', async () => {
    const rig = rigged();
    const sandbox = await fresh(rig);
    const { signed, ...plain } = await rig.provider.attest(sandbox);
    assert.deepEqual([signed, plain.mode, plain.measurement], [undefined, 'standard', null]);
    assert.equal((await attested(rig, sandbox)).image, plain.image_version);
    await assert.rejects(rig.provider.attest(sandbox, 'short'), isFault('invalid'));
    await assert.rejects(rig.provider.attest('sbx_none', NONCE), isFault('unknown_sandbox', 'gone'));
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
    await assert.rejects(rig.provider.attest(sandbox, NONCE), isFault('sandbox_ended', 'gone'));
  });

  test('a sensitive command waits for its secrets; what it prints of them is masked', async () => {
    const rig = rigged();
    const { provider } = rig;
    const sandbox = await fresh(rig);
    const needy = { exec_id: 'needy', argv: ['echo'] };
    for (const more of [{ sensitive: true }, { secrets: ['TOKEN'] }])
      await assert.rejects(provider.startExec(sandbox, { ...needy, ...more }), isFault('secrets_not_released'));
    const order = orderFor(await attested(rig, sandbox));
    const [view, ...more] = await provider.releaseSecrets(sandbox, order);
    assert.deepEqual([view?.name, view?.commitment, more], ['TOKEN', order.secrets[0]?.commitment, []]);
    assert.deepEqual(await provider.releaseSecrets(sandbox, order), [view], 'a repetition changes nothing');
    assert.deepEqual(await provider.listSecrets(sandbox), [view]);
    const said = await outputOf(rig, sandbox, 'say', 'echo "it is $TOKEN"; cat /run/secrets/TOKEN', ['TOKEN']);
    assert.equal(said, `it is ${MASK}\n${MASK}`);
    assert.equal(await outputOf(rig, sandbox, 'free', 'echo "it is $TOKEN"', []), 'it is \n');
    await provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });

  test('what was sealed for another place or to another key is refused', async () => {
    const rig = rigged();
    const sandbox = await fresh(rig);
    const told = await attested(rig, sandbox);
    const elsewhere = orderFor({ ...told, sandbox: 'sbx_other' });
    await assert.rejects(rig.provider.releaseSecrets(sandbox, elsewhere), isFault('secret_not_opened'));
    const otherKey = { ...orderFor(told), sealing_key: Buffer.alloc(32, 9).toString('base64') };
    await assert.rejects(rig.provider.releaseSecrets(sandbox, otherKey), isFault('other_sealing_key'));
    const otherLife = { ...orderFor(told), incarnation: 2 };
    await assert.rejects(rig.provider.releaseSecrets(sandbox, otherLife), isFault('other_incarnation'));
    assert.deepEqual(await rig.provider.listSecrets(sandbox), []);
    await rig.provider.finish(sandbox, { incarnation: 1, reason: 'stopped_by_owner', at_us: null });
  });
}
