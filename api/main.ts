/**
 * The api program: reads its settings, serves until it is told to stop.
 * Promise: one JSON line on standard output once it listens; a clean end on SIGTERM.
 */
import { announceReady, startOrTell, untilStopped } from '@tallystick/engine/program';
import { pino } from 'pino';
import { startApi } from './compose.ts';
import { readApiSettings } from './settings.ts';

const STDERR = 2;

const log = pino({ name: 'api', serializers: { fault: pino.stdSerializers.err } }, pino.destination(STDERR));
const stopped = untilStopped();
const api = await startOrTell(async () => startApi(readApiSettings(process.env), log));
announceReady({ program: 'api', url: api.url, ports_url: api.portsUrl });
const reason = await stopped;
log.info({ reason }, 'stopping');
await api[Symbol.asyncDispose]();
