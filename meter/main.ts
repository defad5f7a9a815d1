/**
 * The meter program: reads its settings, sells and delivers minutes until it is told to stop.
 * Promise: one JSON line on standard output once it works; whatever it leaves undone the next meter finds in the database.
 */
import { announceReady, startOrTell, untilStopped } from '@tallystick/engine/program';
import { pino } from 'pino';
import { startMeter } from './compose.ts';
import { readMeterSettings } from './settings.ts';

const STDERR = 2;

const log = pino({ name: 'meter' }, pino.destination(STDERR));
const stopped = untilStopped();
const meter = await startOrTell(async () => startMeter(readMeterSettings(process.env), log));
announceReady({ program: 'meter' });
const reason = await stopped;
log.info({ reason }, 'stopping');
await meter[Symbol.asyncDispose]();
