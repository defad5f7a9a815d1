/**
 * What an API key may allow.
 * Promise: a login grants nothing that does not stand here.
 */

/** May change how the platform stands to principals and providers; given only to those whom the challenge names. */
export const ADMIN_SCOPE = 'platform:admin';

/** What everybody's login may grant, and does when nothing less is asked for. */
export const ALL_SCOPES: readonly string[] = [
  'jobs:read',
  'jobs:write',
  'sandboxes:read',
  'sandboxes:write',
  'sandboxes:exec',
  'sandboxes:files',
  'sandboxes:ports',
  'billing:read',
  'billing:write',
  'billing:withdraw',
  'receipts:read',
  'keys:read',
  'keys:write',
];
