/**
 * What an owner decides about the ways into a sandbox: which ports are open, to whom and for how long.
 * Promise: every change is a receipt; how many ports an account may open stands in its tier alone.
 */
import {
  type Command,
  countIn,
  type Decision,
  type DomainEvent,
  optionalIn,
  overPolicy,
  type Reads,
  type Rejection,
  type Seen,
  standingStream,
  suspended,
  textIn,
} from '@tallystick/kernel';
import { NOT_FOUND, notOwner, notRunning } from './access.ts';
import { allowanceIn } from './policy.ts';
import { openPortsAt } from './reach-state.ts';
import { evolveSandbox, type SandboxState } from './sandbox-state.ts';

const US_PER_MS = 1_000n;

/** What these decisions look at. */
export const reachReads = (command: Command): Reads => ({ streams: [standingStream(command.principal)] });

function changed(state: SandboxState, event: DomainEvent): Decision {
  return { events: [event], answer: { sandbox: evolveSandbox(state, event) } };
}

function notAllowed(state: SandboxState, command: Command, seen: Seen): Rejection | undefined {
  return (
    notOwner(state, command) ??
    notRunning(state, 'starting', 'running', 'frozen') ??
    suspended(allowanceIn(seen, command.principal))
  );
}

/** Opens a port, or opens it anew: then every earlier link to it is void. */
export function exposePort(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notAllowed(state, command, seen);
  if (refused) return refused;
  const { body } = command;
  const port = countIn(body, 'port');
  const allowance = allowanceIn(seen, command.principal);
  const asked = openPortsAt(state, seen.atUs).filter((one) => one.port !== port).length + 1;
  const cap = allowance.tier.ports_max;
  if (asked > cap) return overPolicy(allowance, 'ports_max', asked, cap);
  const ttlMs = optionalIn(body, 'ttl_ms', countIn);
  const expiresAtUs = ttlMs === null ? null : String(seen.atUs + BigInt(ttlMs) * US_PER_MS);
  const exposed = { port, visibility: textIn(body, 'visibility'), expires_at_us: expiresAtUs };
  const serial = (state.port_serial ?? 0) + 1;
  return changed(state, { type: 'PortExposed', body: { ...exposed, serial, at_us: String(seen.atUs) } });
}

export function closePort(state: SandboxState, command: Command, seen: Seen): Decision {
  const refused = notOwner(state, command) ?? notRunning(state, 'starting', 'running', 'frozen', 'stopping');
  if (refused) return refused;
  const port = countIn(command.body, 'port');
  if (!openPortsAt(state, seen.atUs).some((one) => one.port === port)) return NOT_FOUND;
  return changed(state, { type: 'PortClosed', body: { port, at_us: String(seen.atUs) } });
}
