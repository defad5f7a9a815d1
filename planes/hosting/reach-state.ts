/**
 * What is known of how a sandbox is reached from outside.
 * Promise: absent until the first use, so that older receipts replay to the same states.
 */
import { type JsonObject, optionalIn, textIn, timeUsIn } from '@tallystick/kernel';
import type { SandboxState } from './sandbox-state.ts';

export type PortVisibility = 'private' | 'link';

/** A port that the outside may use. */
export type OpenPort = {
  port: number;
  /** `private`: with an API key; `link`: also with a signed link. */
  visibility: PortVisibility;
  /** Null: as long as the sandbox lives. */
  expires_at_us: string | null;
  /** Grows with every exposure of the sandbox; a link of another serial is void. */
  serial: number;
  exposed_at_us: string;
};

/** Ports that are still open at `atUs`. */
export const openPortsAt = (state: SandboxState, atUs: bigint): OpenPort[] =>
  (state.ports ?? []).filter(({ expires_at_us }) => expires_at_us === null || BigInt(expires_at_us) > atUs);

export function portExposed(state: SandboxState, body: JsonObject): SandboxState {
  const { port, visibility, serial } = body as Pick<OpenPort, 'port' | 'visibility' | 'serial'>;
  const atUs = textIn(body, 'at_us');
  const others = openPortsAt(state, timeUsIn(body, 'at_us')).filter((one) => one.port !== port);
  const exposed = { port, visibility, expires_at_us: optionalIn(body, 'expires_at_us', textIn), serial };
  return { ...state, ports: [...others, { ...exposed, exposed_at_us: atUs }], port_serial: serial };
}

export const portClosed = (state: SandboxState, body: JsonObject): SandboxState => ({
  ...state,
  ports: (state.ports ?? []).filter(({ port }) => port !== body['port']),
});
