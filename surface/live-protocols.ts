/**
 * Names and numbers of the live protocol that both ends must agree on.
 * Promise: no code of either end, so that a browser bundles no server.
 */
export const LIVE_PATH = '/v1/live';
export const LIVE_PROTO = 'tallystick.live.v1+proto';
export const LIVE_JSON = 'tallystick.live.v1+json';
export type LiveProtocol = typeof LIVE_PROTO | typeof LIVE_JSON;

export const WINDOW_EVENTS_DEFAULT = 1024;
/** The platform pings, and repeats CaughtUp on idle subscriptions, this often. */
export const HEARTBEAT_MS = 15_000;

/** WebSocket close codes; 4000 and up are ours. */
export const CLOSE = { badFrame: 1007, tooMuch: 1008, draining: 1012, unauthenticated: 4401 } as const;
