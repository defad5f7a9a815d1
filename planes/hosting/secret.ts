/**
 * Secrets on their way to a machine, as the receipt tells them: names and salted commitments.
 * Promise: no rule ever sees a value, and nothing here says what one was.
 */
import { type Command, type Decision, type Json, type JsonObject, type Seen, textIn } from '@tallystick/kernel';
import type { SandboxState } from './sandbox-state.ts';
import { activity, done, notUsable } from './use.ts';

/** Handed to the machine sealed; whether it took them, its own answer tells. */
export function sendSecrets(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notUsable(state, command, seen);
  if (refused) return refused;
  const { body } = command;
  const sent = { sealing_key: textIn(body, 'sealing_key'), secrets: (body['secrets'] as Json[]).map(commitmentIn) };
  return done(state, { type: 'SecretsSent', body: { ...sent, ...activity(state, seen, 'secrets') } });
}

function commitmentIn(secret: Json): JsonObject {
  const one = secret as JsonObject;
  return { name: textIn(one, 'name'), commitment: textIn(one, 'commitment') };
}
