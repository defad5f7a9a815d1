/**
 * The api program: reads its settings, serves until it is told to stop.
 * Promise: one JSON line on standard output once it listens; a clean end on SIGTERM. A chain that turns
 * out not to be what the settings say ends it with one line.
 */
import { announceReady, SettingError, startOrTell, tellAndExit, untilStopped } from '@tallystick/engine/program';
import { pino } from 'pino';
import { startApi } from './compose.ts';
import { readApiSettings } from './settings.ts';

const STDERR = 2;

const log = pino({ name: 'api', serializers: { fault: pino.stdSerializers.err } }, pino.destination(STDERR));
const stopped = untilStopped();
const api = await startOrTell(async () => startApi(readApiSettings(process.env), log));
announceReady({ program: 'api', url: api.url, ports_url: api.portsUrl });
const end = await Promise.race([stopped, api.refused]);
if (end instanceof SettingError)
  log.fatal({ setting: end.message }, 'stopping: the chain is not what the settings say');
else log.info({ reason: end }, 'stopping');
await api[Symbol.asyncDispose]();
if (end instanceof SettingError) tellAndExit(end);
