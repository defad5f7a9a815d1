/**
 * What an API key may allow.
 * Promise: a login grants nothing that does not stand here.
 */
export const ALL_SCOPES: readonly string[] = [
  'jobs:read',
  'jobs:write',
  'sandboxes:read',
  'sandboxes:write',
  'sandboxes:exec',
  'sandboxes:files',
  'billing:read',
  'billing:write',
  'receipts:read',
  'keys:read',
  'keys:write',
];
