/**
 * The platform's switches over the API: tiers, suspensions, providers.
 * Promise: the platform acts, the receipt names the administrator; who may ask is settled by scope and setting.
 */
import { type Engine, readStream } from '@tallystick/engine';
import { type ProviderState, providerStream } from '@tallystick/hosting';
import { standing } from '@tallystick/identity';
import { type JsonObject, type Standing, standingStream } from '@tallystick/kernel';
import { AdminService } from '@tallystick/proto';
import { type Call, implement } from '@tallystick/surface';
import { type Accepted, executeFor } from '../outcome.ts';
import { optionalTime } from '../view-parts.ts';
import { tierName, tierOf } from '../views/tier.ts';

const NEVER_US = '0';

export const adminHandlers = (engine: Engine) =>
  implement(AdminService, {
    async getStanding({ principal }) {
      const head = await readStream(engine, standingStream(principal));
      const state = (head?.state as unknown as Standing | undefined) ?? standing.initial;
      return standingMessage(principal, state, head?.receiptId ?? '');
    },
    setTier: ({ principal, tier, reason }, call) =>
      changeStanding(engine, call, principal, 'SetTier', { tier: tierName(tier), reason }),
    suspend: ({ principal, reason }, call) => changeStanding(engine, call, principal, 'Suspend', { reason }),
    reinstate: ({ principal, reason }, call) => changeStanding(engine, call, principal, 'Reinstate', { reason }),
    drainProvider: (request, call) => switchProvider(engine, call, 'DrainProvider', request),
    resumeProvider: (request, call) => switchProvider(engine, call, 'ResumeProvider', request),
    killProvider: (request, call) => switchProvider(engine, call, 'KillProvider', request),
  });

async function changeStanding(engine: Engine, call: Call, principal: string, type: string, body: JsonObject) {
  const { answer, receiptId } = await executeAsPlatform(engine, call, standingStream(principal), type, body);
  return standingMessage(principal, answer['standing'] as unknown as Standing, receiptId);
}

async function switchProvider(
  engine: Engine,
  call: Call,
  type: string,
  { provider: name, reason }: { provider: string; reason: string },
) {
  const { answer, receiptId } = await executeAsPlatform(engine, call, providerStream(name), type, { reason });
  const { status, reason: because, version, changed_at_us } = answer['provider'] as unknown as ProviderState;
  return { provider: name, status, reason: because, version, ...optionalTime('changedAt', changed_at_us), receiptId };
}

/** The key is the administrator's own, so that two of them never meet. */
export async function executeAsPlatform(
  engine: Engine,
  call: Call,
  stream: string,
  type: string,
  body: JsonObject,
): Promise<Accepted> {
  const { id: by, keyId } = call.principal!;
  return executeFor(engine, call, {
    principal: 'platform',
    key: `admin:${by}:${call.idempotencyKey}`,
    fingerprint: call.fingerprint,
    grant: keyId,
    stream,
    type,
    body: { ...body, by },
  });
}

const standingMessage = (
  principal: string,
  { tier, suspended, reason, version, changed_at_us }: Standing,
  receiptId: string,
) => ({
  principal,
  tier: tierOf(tier),
  suspended,
  reason,
  version,
  ...optionalTime('changedAt', changed_at_us === NEVER_US ? null : changed_at_us),
  receiptId,
});
