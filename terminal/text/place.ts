/**
 * One side of a copy: a path here, or a path in a sandbox.
 * Promise: `sbx_…:path` is a sandbox's path; everything else is a path here.
 */
import { UsageError } from './usage-error.ts';

export type Place = { kind: 'here'; path: string } | { kind: 'sandbox'; sandboxId: string; path: string };

const SANDBOX_PLACE = /^(sbx_[0-9a-f]{32}):(.*)$/s;
const LOOKS_LIKE_ONE = /^sbx[^/]*:/;

/**
 * @errors UsageError for something that begins like a sandbox but is none
 * @example parsePlace('sbx_0192…:report.json') // {kind: 'sandbox', …, path: 'report.json'}
 */
export function parsePlace(text: string): Place {
  const match = SANDBOX_PLACE.exec(text);
  if (match) return { kind: 'sandbox', sandboxId: match[1]!, path: match[2]! };
  if (LOOKS_LIKE_ONE.test(text))
    throw new UsageError(
      `${text} names no sandbox.`,
      'A sandbox id is sbx_ and 32 hex digits; write ./ before a path here.',
    );
  return { kind: 'here', path: text };
}
