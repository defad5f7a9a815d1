/**
 * What the warden is asked about secrets, and what a command says of those it needs.
 * Promise: a body is checked whole before anything is opened; no answer holds a value.
 */
import { base64Bytes, type Json, type JsonObject } from '@tallystick/kernel';
import { SEALED_BYTES_MAX, SECRET_NAME, type SealedSecret } from '@tallystick/kernel/sealing';
import type { Attester } from './attest.ts';
import { Fault, invalid, refused } from './fault.ts';
import type { Held } from './held.ts';
import * as read from './request.ts';
import { SECRETS_MAX } from './secrets.ts';
import type { Warden } from './warden.ts';

const COMMITMENT = /^[0-9a-f]{64}$/;

/** Members of a command's request. */
export const SECRET_MEMBERS: Record<string, read.Check> = {
  secrets: read.optional((value) =>
    Array.isArray(value) && value.length <= SECRETS_MAX && value.every(isSecretName)
      ? undefined
      : `must be at most ${SECRETS_MAX} names of secrets`,
  ),
  sensitive: read.optional(read.isFlag),
};

const isSecretName = (name: Json): boolean => typeof name === 'string' && SECRET_NAME.test(name);

/** The environment of a command: the way out, its own, the secrets it names. @errors throws Fault `secrets_not_released`. */
export function envWithSecrets({ secrets, egress }: Held, body: JsonObject): { env?: Record<string, string> } {
  const own = { ...egress.env, ...((body['env'] ?? {}) as Record<string, string>) };
  const named = secrets.envFor((body['secrets'] ?? []) as string[], body['sensitive'] === true);
  const env = { ...own, ...named };
  return Object.keys(env).length > 0 ? { env } : {};
}

export async function attestation(attester: Attester, held: Held, query: URLSearchParams): Promise<object> {
  if (held.ended) throw new Fault('gone', 'sandbox_ended', 'the sandbox has ended', { ...held.ended });
  const told = { mode: 'standard', image_version: held.image, measurement: null };
  const nonce = query.get('nonce');
  return nonce === null ? told : { ...told, ...(await attester.statement(held, nonce)) };
}

/** Values that were sealed to this boot's key for this life of the sandbox. */
export async function releaseSecrets(warden: Warden, attester: Attester, name: string, body: JsonObject) {
  read.checkMembers(body, {
    incarnation: read.isCount(1, Number.MAX_SAFE_INTEGER),
    sealing_key: read.isBase64,
    secrets: (value) =>
      Array.isArray(value) && value.length > 0 && value.length <= SECRETS_MAX
        ? undefined
        : `must be a list of 1 to ${SECRETS_MAX}`,
  });
  const held = warden.running(name);
  if (held.incarnation !== body['incarnation']) {
    const facts = { here: held.incarnation, asked: body['incarnation'] as number };
    throw new Fault('conflict', 'other_incarnation', 'this is another incarnation', facts);
  }
  if (body['sealing_key'] !== attester.sealing.publicKey.toString('base64'))
    throw refused('other_sealing_key', 'the machine has another key since it last started: attest again');
  const sealed = (body['secrets'] as Json[]).map(sealedSecretIn);
  warden.touch(held, 'secrets');
  await held.secrets.release(held.sandbox.link, attester.sealing, sealed, held.lastActivityUs);
  return { secrets: held.secrets.list() };
}

function sealedSecretIn(value: Json): SealedSecret {
  if (read.isObject(value)) throw invalid('/secrets must hold objects');
  const one = value as JsonObject;
  read.checkMembers(one, {
    name: (name) => (isSecretName(name ?? null) ? undefined : 'must be a name like API_TOKEN'),
    sealed_base64: read.isBase64,
    commitment: (text) => (typeof text === 'string' && COMMITMENT.test(text) ? undefined : 'must be 64 hex digits'),
  });
  const sealed = base64Bytes(one['sealed_base64'] as string);
  if (!sealed || sealed.length > SEALED_BYTES_MAX)
    throw invalid(`/sealed_base64 must be base64 of at most ${SEALED_BYTES_MAX} bytes`);
  return { name: one['name'] as string, sealed, commitment: one['commitment'] as string };
}
