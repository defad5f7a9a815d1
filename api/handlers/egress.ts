/**
 * Ways out over the API: a policy by receipt, then carried to the machine; decisions as the machine tells them.
 * Promise: an answer says what the machine holds now; what it could not be told yet, the outbox carries there.
 */
import type { Engine } from '@tallystick/engine';
import { type EgressView, type Provider, ProviderFault } from '@tallystick/engine/adapters/provider';
import type { SandboxState } from '@tallystick/hosting';
import { EgressService } from '@tallystick/proto';
import { implement } from '@tallystick/surface';
import { commandFrom, executeFor } from '../outcome.ts';
import { askProvider } from '../provider-refusal.ts';
import { egressMessage, egressWord } from '../views/egress.ts';
import { readySandbox } from './ready-sandbox.ts';
import { ownSandbox } from './sandboxes.ts';

export interface EgressOptions {
  engine: Engine;
  provider: Provider;
  /** The same machine over connections of its own: whoever waits for a decision holds up nobody's commands. */
  watching: Provider;
}

const NOTHING = { open: 0, allowed: 0, denied: 0, failed: 0, bytes_out: 0, bytes_in: 0 };

/** All that is known of a sandbox whose machine tells nothing of it. */
const asReceipted = ({ egress }: SandboxState): EgressView => ({
  ...NOTHING,
  serial: egress?.serial ?? 0,
  mode: (egress?.mode ?? 'none') as EgressView['mode'],
  allow: egress?.allow ?? [],
});

/** Undefined when the machine has no such sandbox, yet or any more. */
async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (fault) {
    if (fault instanceof ProviderFault && fault.kind === 'gone') return undefined;
    throw fault;
  }
}

export const egressHandlers = ({ engine, provider, watching }: EgressOptions) =>
  implement(EgressService, {
    async setEgress({ id, mode, allow }, call) {
      await readySandbox(engine, call, id);
      const { egress: offered } = await askProvider('EGRESS_REFUSED', {}, () => provider.descriptor());
      const body = { mode: egressWord(mode), allow, egress_offered: offered };
      const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'SetEgress', body });
      const { answer, receiptId } = await executeFor(engine, call, command);
      const { incarnation, ...state } = answer['sandbox'] as unknown as SandboxState;
      const { serial, mode: word, allow: rules } = asReceipted({ incarnation, ...state });
      const order = { incarnation, serial, mode: word, allow: rules };
      const held = await askProvider('EGRESS_REFUSED', {}, () => provider.setEgress(id, order));
      return egressMessage(id, held, receiptId);
    },
    async getEgress({ id, after, waitMs }, call) {
      const { state } = await ownSandbox(engine, call, id);
      const asked = waitMs > 0 ? watching : provider;
      const held = await askProvider('EGRESS_REFUSED', {}, () => unlessGone(asked.egress(id, Number(after), waitMs)));
      return egressMessage(id, held ?? { ...asReceipted(state), next_after: Number(after) }, '');
    },
  });
