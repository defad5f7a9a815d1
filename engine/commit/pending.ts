/**
 * A command that waits for its answer, checked as far as it can be without the database.
 * Promise: whatever cannot be written at all (a name too long, a body that is no JSON) never enters a batch.
 */
import {
  type Command,
  commandIdOf,
  type Decider,
  deciderOf,
  fingerprintOf,
  type Reads,
  type Rules,
} from '@tallystick/kernel';
import type { Outcome } from '../outcome.ts';
import type { Needs } from './cache.ts';

/** Of a principal, a key and a stream name: what a database index can hold. */
export const NAME_CHARS_MAX = 512;
const FINGERPRINT = /^[0-9a-f]{64}$/;

export interface Pending {
  /** `principal/key`, also the id in the receipt. */
  id: string;
  fingerprint: string;
  command: Command;
  decider: Decider;
  /** What the rule may look at besides the command's own stream. */
  reads: Reads;
  needs: Needs;
  /** SQLSTATE that kept this command out: it is receipted, not decided. */
  quarantinedFor?: string;
  answered: PromiseWithResolvers<Outcome>;
}

/** @errors throws TypeError for an unknown kind of stream, a name that cannot be stored, a body that is no strict JSON, or when `reads` throws. */
export function pendingOf(rules: Rules, given: Command): Pending {
  for (const name of ['principal', 'key', 'stream'] as const) assertName(name, given[name]);
  if (given.principal.includes('/')) throw new TypeError('a principal holds no slash');
  const decider = deciderOf(rules, given.stream);
  const fingerprint = fingerprintOf(given);
  if (!FINGERPRINT.test(fingerprint)) throw new TypeError('a fingerprint is 64 lower-case hex characters');
  const command = { ...given, fingerprint };
  const reads = decider.reads(command);
  const { streams = [], accounts = [] } = reads;
  for (const stream of streams) deciderOf(rules, stream); // a rule may only name streams of a known kind
  return {
    id: commandIdOf(command),
    fingerprint,
    command,
    decider,
    reads,
    needs: { streams: [command.stream, ...streams], accounts },
    answered: Promise.withResolvers(),
  };
}

function assertName(what: string, name: string): void {
  if (name === '' || name.length > NAME_CHARS_MAX || name.includes('\0')) {
    throw new TypeError(`a ${what} has 1 to ${NAME_CHARS_MAX} characters and no NUL, this one has ${name.length}`);
  }
}
