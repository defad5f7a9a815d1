/**
 * The policy that every receipt names: what each plane's limits are, together.
 * Promise: a limit that changes anywhere changes the hash.
 */
import { DEFAULT_POLICY } from '@tallystick/hosting';
import { jcs, type Policy, sha256Hex } from '@tallystick/kernel';
import { PAYOUT_POLICY } from '@tallystick/treasury';

const VERSION = '4';

/** Name and hash of the policy, for receipts. */
export const POLICY: Policy = {
  version: VERSION,
  hash: sha256Hex(jcs({ version: VERSION, hosting: DEFAULT_POLICY, treasury: PAYOUT_POLICY })),
};
