/**
 * Ports over the API: opened and closed by receipt; the listener for ports carries what passes.
 * Promise: nothing is decided here; a port that is closed or opened anew loses its connections at once.
 */
import type { Engine } from '@tallystick/engine';
import { type OpenPort, openPortsAt, type PortVisibility, type SandboxState } from '@tallystick/hosting';
import { PortService, PortVisibility as Visibility } from '@tallystick/proto';
import { implement } from '@tallystick/surface';
import { commandFrom, executeFor } from '../outcome.ts';
import type { LinkSigner } from '../ports/link.ts';
import { LINK_PATH, type PortListener } from '../ports/listener.ts';
import { optionalTime } from '../view-parts.ts';
import { ownSandbox } from './sandboxes.ts';

/** A link that nobody gave a time. */
const LINK_MS_DEFAULT = 3_600_000;

const VISIBILITY: Record<PortVisibility, Visibility> = { private: Visibility.PRIVATE, link: Visibility.LINK };

export interface PortOptions {
  engine: Engine;
  links: LinkSigner;
  listener: Pick<PortListener, 'places' | 'traffic'>;
}

export const portHandlers = ({ engine, links, listener }: PortOptions) => {
  const messageOf = (state: SandboxState, port: OpenPort, receiptId: string) => {
    const { id: sandbox, incarnation } = state;
    const url = listener.places.urlOf({ sandbox, port: port.port });
    const isLink = port.visibility === 'link';
    return {
      sandboxId: sandbox,
      port: port.port,
      visibility: VISIBILITY[port.visibility],
      url,
      link: isLink ? `${url}${LINK_PATH}${links.tokenOf({ sandbox, incarnation, port })}` : '',
      ...optionalTime('expiresAt', port.expires_at_us),
      receiptId,
    };
  };
  return implement(PortService, {
    async exposePort({ id, port, visibility, ttlMs }, call) {
      await ownSandbox(engine, call, id);
      const isLink = visibility === Visibility.LINK;
      const body = {
        port,
        visibility: isLink ? 'link' : 'private',
        ttl_ms: ttlMs === undefined ? (isLink ? LINK_MS_DEFAULT : null) : Number(ttlMs),
      };
      const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'ExposePort', body });
      const { answer, receiptId, replayed } = await executeFor(engine, call, command);
      const state = answer['sandbox'] as unknown as SandboxState;
      if (!replayed) listener.traffic.cut(id, port);
      return messageOf(state, state.ports!.find((one) => one.port === port)!, receiptId);
    },
    async listPorts({ id }, call) {
      const { state } = await ownSandbox(engine, call, id);
      const isOver = state.status === 'ended';
      const open = isOver ? [] : openPortsAt(state, engine.nowUs());
      return { ports: open.map((port) => messageOf(state, port, '')) };
    },
    async closePort({ id, port }, call) {
      await ownSandbox(engine, call, id);
      const command = commandFrom(call, { stream: `sandbox:${id}`, type: 'ClosePort', body: { port } });
      const { receiptId } = await executeFor(engine, call, command);
      listener.traffic.cut(id, port);
      return { sandboxId: id, port, url: listener.places.urlOf({ sandbox: id, port }), receiptId };
    },
  });
};
