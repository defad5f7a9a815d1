/**
 * The one list of all deciders and reactions: api, meter, simulator and verifier are wired from it.
 * Promise: what does not stand here is not a rule.
 */
import { funding, HOSTING_REACTIONS, job, provider, sandbox, snapshot } from '@tallystick/hosting';
import { key, login, standing } from '@tallystick/identity';
import type { Decider, Rules } from '@tallystick/kernel';
import {
  account,
  address,
  authorization,
  deposit,
  ledger,
  payout,
  quote,
  rail,
  signer,
  sweep,
  TREASURY_REACTIONS,
  withdrawal,
} from '@tallystick/treasury';
import { POLICY } from './policy.ts';

export { POLICY } from './policy.ts';

const DECIDERS = [
  ledger,
  account,
  rail,
  address,
  deposit,
  signer,
  sweep,
  authorization,
  quote,
  withdrawal,
  payout,
  login,
  key,
  standing,
  job,
  sandbox,
  funding,
  snapshot,
  provider,
] as unknown as Decider[];

export const RULES: Rules = {
  deciders: new Map(DECIDERS.map((decider) => [decider.kind, decider])),
  reactions: [...HOSTING_REACTIONS, ...TREASURY_REACTIONS],
  policy: POLICY,
};
