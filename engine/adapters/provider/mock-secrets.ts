/**
 * Secrets of the mock's sandboxes: real seals and statements, with keys that anybody can compute.
 * Promise: what a released value would show in output is masked as a real machine does.
 */
import { jcs, sha256, sha256Hex, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import {
  ATTESTATION_NONCE,
  ATTESTATION_TYPE,
  openSecret,
  type Redactor,
  redactionOf,
  redactor,
  type SealedSecret,
  sealingKeyFromSeed,
} from '@tallystick/kernel/sealing';
import type { MockSandbox } from './mock-sandbox.ts';
import type { Step } from './mock-shell.ts';
import { type Provider, ProviderFault, type SecretView } from './port.ts';

export interface MockSecret extends SecretView {
  value: Buffer;
}

export interface MockSecrets {
  released: Map<string, MockSecret>;
  /** Also those that newer ones have replaced. */
  values: Buffer[];
  taken: Set<string>;
}

export const newSecrets = (): MockSecrets => ({ released: new Map(), values: [], taken: new Set() });

export const MOCK_SECRETS_FOLDER = '/run/secrets';

const refuse = (code: string, detail: string, facts: Record<string, string> = {}): ProviderFault =>
  new ProviderFault('refused', code, detail, facts);

const keysOf = (bootId: string) => ({
  warden: signingKeyFromSeed(sha256(Buffer.from(`${bootId} warden`))),
  sealing: sealingKeyFromSeed(sha256(Buffer.from(`${bootId} sealing`))),
});

/** @errors throws ProviderFault `secrets_not_released` naming the missing ones */
export function secretEnv({ released }: MockSecrets, names: string[], isSensitive: boolean): Record<string, string> {
  const missing = names.filter((name) => !released.has(name));
  const lacks = missing.length > 0 ? missing.join(' ') : isSensitive && released.size === 0 ? '*' : '';
  if (lacks !== '') throw refuse('secrets_not_released', 'the command needs secrets', { missing: lacks });
  return Object.fromEntries(names.map((name) => [name, String(released.get(name)?.value)]));
}

/** The same steps, without what must not show. */
export function redactSteps({ values }: MockSecrets, steps: Step[]): Step[] {
  if (values.length === 0) return steps;
  const redaction = redactionOf(values);
  const clean: Record<1 | 2, Redactor> = { 1: redactor(() => redaction), 2: redactor(() => redaction) };
  return steps.flatMap((step) => {
    if (step.stream && step.bytes) return [{ ...step, bytes: clean[step.stream].push(step.bytes) }];
    const rest = ([1, 2] as const).map((stream) => ({ atMs: step.atMs, stream, bytes: clean[stream].end() }));
    return [...rest.filter(({ bytes }) => bytes.length > 0), step];
  });
}

export interface MockSecretWorld {
  bootId(): string;
  nowUs(): number;
  sandbox(name: string): MockSandbox;
  running(name: string): MockSandbox;
}

export function secretCalls(world: MockSecretWorld) {
  const { sandbox, running } = world;
  return {
    attest: async (name, nonce) => {
      const { spec, ended } = sandbox(name);
      if (ended) throw new ProviderFault('gone', 'sandbox_ended', 'the sandbox has ended', ended);
      const plain = { mode: 'standard', image_version: spec.image, measurement: null } as const;
      return nonce === undefined ? plain : { ...plain, signed: statement(world.bootId(), spec, nonce) };
    },
    releaseSecrets: async (name, { incarnation, sealing_key, secrets }) => {
      const to = running(name);
      if (to.spec.incarnation !== incarnation) throw refuse('other_incarnation', 'this is another incarnation');
      const { sealing } = keysOf(world.bootId());
      if (sealing.publicKey.toString('base64') !== sealing_key)
        throw refuse('other_sealing_key', 'the machine has another key since it last started: attest again');
      const fresh = secrets.filter(({ sealed }) => !to.secrets.taken.has(sealed.toString('base64')));
      const opened = fresh.map((one) => ({ ...one, value: open(sealing, to, one) }));
      for (const one of opened) take(to, one, world.nowUs());
      return viewsOf(to);
    },
    listSecrets: async (name) => viewsOf(sandbox(name)),
  } satisfies Partial<Provider>;
}

function open(key: ReturnType<typeof sealingKeyFromSeed>, { spec }: MockSandbox, secret: SealedSecret): Buffer {
  const { sandbox, incarnation } = spec;
  const value = openSecret(key, { sandbox, incarnation, name: secret.name }, secret);
  if (!value)
    throw refuse('secret_not_opened', `${secret.name} was not sealed for this sandbox`, { name: secret.name });
  return value;
}

function take(to: MockSandbox, { name, commitment, sealed, value }: SealedSecret & MockValue, nowUs: number): void {
  to.secrets.taken.add(sealed.toString('base64'));
  to.secrets.values.push(value);
  to.secrets.released.set(name, { name, commitment, released_at_us: nowUs, value });
  to.files.set(`${MOCK_SECRETS_FOLDER}/${name}`, value);
}

type MockValue = Pick<MockSecret, 'value'>;

const viewsOf = ({ secrets }: MockSandbox): SecretView[] =>
  [...secrets.released.values()].map(({ value: _, ...view }) => view);

function statement(bootId: string, spec: MockSandbox['spec'], nonce: string) {
  if (!ATTESTATION_NONCE.test(nonce)) throw refuse('invalid', 'nonce must be 16 to 64 bytes in lower-case hex');
  const { warden, sealing } = keysOf(bootId);
  const policy = jcs({ isolation: 'mock' });
  const told = {
    mode: 'standard',
    nonce,
    warden_key: warden.publicKey.toString('base64'),
    sealing_key: sealing.publicKey.toString('base64'),
    boot_id: bootId,
    sandbox: spec.sandbox,
    incarnation: spec.incarnation,
    isolation: 'mock',
    policy_hash: sha256Hex(Buffer.from(policy)),
    image: spec.image,
    image_digest: sha256Hex(Buffer.from(spec.image)),
  };
  return { envelope: signEnvelope(ATTESTATION_TYPE, told, warden), policy };
}
