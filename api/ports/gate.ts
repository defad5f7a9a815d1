/**
 * Who may use an open port: the holder of an API key of its owner, or of a valid link.
 * Promise: asked anew for every request, and now and then for what stays connected; without a credential nothing is learned.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { openPortsAt, type SandboxState, unfunded } from '@tallystick/hosting';
import type { Authenticate } from '@tallystick/surface';
import { apiKeyIn, cookieIn, isForeignPage, LINK_COOKIE } from './heads.ts';
import type { Exposure, LinkSigner } from './link.ts';
import type { PortPlace } from './place.ts';

/** Activity is recorded no less often while bytes pass. */
export const RECORD_EVERY_MS_MAX = 5_000;
/** The shortest idle timeout there is. */
const IDLE_MS_MIN = 1_000;

export const PORTS_SCOPE = 'sandboxes:ports';

/** How a caller shows that it may. */
export interface Credentials {
  apiKey: string | undefined;
  token: string | undefined;
}

export interface Admitted {
  exposure: Exposure;
  owner: string;
  /** How often traffic must be recorded for no idle timeout to overlook it. */
  recordEveryMs: number;
  /** By API key: may also open plain streams. */
  isOwner: boolean;
  /** The machine stands still for want of money: nothing new reaches it, and what is connected goes on with it. */
  isUnfunded: boolean;
}

/** Why not: `who` without a valid credential, `where` for the owner of a port that is not open, `page` for a foreign page. */
export type Refused = { refused: 'who' | 'where' | 'page' };

export interface GateOptions {
  /** The state of a sandbox as of now; undefined for one that never was. */
  sandboxOf(id: string): Promise<SandboxState | undefined>;
  nowUs(): bigint;
  authenticate: Authenticate;
  links: LinkSigner;
}

export function credentialsIn(headers: IncomingHttpHeaders): Credentials {
  return { apiKey: apiKeyIn(headers), token: cookieIn(headers, LINK_COOKIE) };
}

/** A page elsewhere may have made the visitor's browser send the cookie. */
export const isFromElsewhere = (credentials: Credentials, headers: IncomingHttpHeaders): boolean =>
  credentials.apiKey === undefined && isForeignPage(headers);

interface Known {
  state: SandboxState;
  exposure: Exposure | undefined;
}

async function knownAt({ sandboxOf, nowUs }: GateOptions, place: PortPlace): Promise<Known | undefined> {
  const state = await sandboxOf(place.sandbox);
  if (!state) return undefined;
  const port = openPortsAt(state, nowUs()).find((one) => one.port === place.port);
  const isOver = state.status === 'ended' || state.status === '';
  const { sandbox } = place;
  return { state, exposure: port && !isOver ? { sandbox, incarnation: state.incarnation, port } : undefined };
}

/** Half of the idle timeout; that of the job, if it has one, is not known here and has its shortest length. */
export function recordEveryMs({ idle_timeout_ms: ownMs, touches_job }: SandboxState): number {
  const jobMs = touches_job ? IDLE_MS_MIN : null;
  return Math.min(RECORD_EVERY_MS_MAX, ...[ownMs, jobMs].flatMap((ms) => (ms === null ? [] : [ms / 2])));
}

/** Whether these credentials open this place now. */
export async function admit(
  options: GateOptions,
  place: PortPlace,
  { apiKey, token }: Credentials,
): Promise<Admitted | Refused> {
  const { authenticate, links } = options;
  const known = await knownAt(options, place);
  if (apiKey !== undefined) {
    const principal = await authenticate(apiKey);
    if (!principal?.scopes.has(PORTS_SCOPE)) return { refused: 'who' };
    if (!known?.exposure || known.state.owner !== principal.id) return { refused: 'where' };
    return admitted(options, known.state, known.exposure, true);
  }
  if (token === undefined || !known?.exposure || !links.opens(token, known.exposure)) return { refused: 'who' };
  return admitted(options, known.state, known.exposure, false);
}

const admitted = ({ nowUs }: GateOptions, state: SandboxState, exposure: Exposure, isOwner: boolean): Admitted => ({
  exposure,
  owner: state.owner,
  recordEveryMs: recordEveryMs(state),
  isOwner,
  isUnfunded: unfunded(state, nowUs()) !== undefined,
});
