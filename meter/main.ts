/**
 * The meter program: reads its settings, sells and delivers minutes until it is told to stop.
 * Promise: one JSON line on standard output once it works; whatever it leaves undone the next meter finds in the database. A chain that
 * turns out not to be what the settings say ends it with one line.
 */
import { announceReady, SettingError, startOrTell, tellAndExit, untilStopped } from '@tallystick/engine/program';
import { pino } from 'pino';
import { startMeter } from './compose.ts';
import { readMeterSettings } from './settings.ts';

const STDERR = 2;

const log = pino({ name: 'meter' }, pino.destination(STDERR));
const stopped = untilStopped();
const meter = await startOrTell(async () => startMeter(readMeterSettings(process.env), log));
announceReady({ program: 'meter' });
const end = await Promise.race([stopped, meter.refused]);
if (end instanceof SettingError)
  log.fatal({ setting: end.message }, 'stopping: the chain is not what the settings say');
else log.info({ reason: end }, 'stopping');
await meter[Symbol.asyncDispose]();
if (end instanceof SettingError) tellAndExit(end);
