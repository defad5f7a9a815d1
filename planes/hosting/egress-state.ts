/**
 * What is known of how far a sandbox reaches out.
 * Promise: absent until something was asked for, so that older receipts replay to the same states.
 */
import { countIn, type JsonObject, textIn, textsIn } from '@tallystick/kernel';
import type { SandboxState } from './sandbox-state.ts';

export type EgressState = {
  /** Counts the policies of the sandbox: a machine takes none that is older than its own. */
  serial: number;
  /** `none`, `allowlist` or `open`. */
  mode: string;
  /** Rules in their one spelling. */
  allow: string[];
};

export const egressChanged = (state: SandboxState, body: JsonObject): SandboxState => ({
  ...state,
  egress: { serial: countIn(body, 'serial'), mode: textIn(body, 'mode'), allow: textsIn(body, 'allow') },
});
