/**
 * What an API key may allow.
 * Promise: a login grants nothing that does not stand here, and nothing that must be asked for by name unless it was.
 */

/** May change how the platform stands to principals and providers; given only to those whom the challenge names. */
export const ADMIN_SCOPE = 'platform:admin';

/** Lets money out of the account, which nobody brings back: given only when it is asked for by name. */
export const WITHDRAW_SCOPE = 'billing:withdraw';

/** What a login grants when nothing is asked for. */
export const USUAL_SCOPES: readonly string[] = [
  'jobs:read',
  'jobs:write',
  'sandboxes:read',
  'sandboxes:write',
  'sandboxes:exec',
  'sandboxes:files',
  'sandboxes:ports',
  'billing:read',
  'billing:write',
  'receipts:read',
  'keys:read',
  'keys:write',
];
