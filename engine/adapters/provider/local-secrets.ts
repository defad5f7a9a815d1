/**
 * What the local provider asks its warden about secrets.
 * Promise: values pass here sealed or not at all.
 */
import type { Envelope } from '@tallystick/kernel';
import type { Provider, SandboxAttestation, SecretView } from './port.ts';

interface Ask {
  verb: 'read' | 'release';
  sandbox: string;
  method: 'GET' | 'POST';
  path: string;
  query?: Record<string, string | number | undefined>;
  json?: object;
}

type Answer = <T>(ask: Ask) => Promise<T>;
type WireAttestation = Omit<SandboxAttestation, 'signed'> & { envelope?: Envelope; policy?: string };

export function secretCalls(answer: Answer) {
  const at = (sandbox: string, what: string): string => `/v1/sandboxes/${encodeURIComponent(sandbox)}/${what}`;
  return {
    attest: async (sandbox, nonce) => {
      const path = at(sandbox, 'attestation');
      const ask = { verb: 'read', sandbox, method: 'GET', path, query: { nonce } } as const;
      const { envelope, policy = '', ...plain } = await answer<WireAttestation>(ask);
      return envelope ? { ...plain, signed: { envelope, policy } } : plain;
    },
    releaseSecrets: async (sandbox, { secrets, ...order }) => {
      const sealed = secrets.map(({ sealed: bytes, ...one }) => ({ ...one, sealed_base64: bytes.toString('base64') }));
      const json = { ...order, secrets: sealed };
      const path = at(sandbox, 'secrets');
      return (await answer<{ secrets: SecretView[] }>({ verb: 'release', sandbox, method: 'POST', path, json }))
        .secrets;
    },
    listSecrets: async (sandbox) => {
      const path = at(sandbox, 'secrets');
      return (await answer<{ secrets: SecretView[] }>({ verb: 'read', sandbox, method: 'GET', path })).secrets;
    },
  } satisfies Partial<Provider>;
}
