/**
 * The program that owns the database: starts it, migrates it, says so in one JSON line, and stops it when told to.
 * Promise: after `"ready":true` any api or meter may connect; SIGTERM and SIGINT end the embedded server cleanly; when the
 * server dies, so does this program, and whoever supervises it starts both again.
 */
import { parseArgs } from 'node:util';
import { announceReady, startOrTell, untilStopped } from '../program/index.ts';
import { type Database, migrate, openDatabase } from './index.ts';

const LOOK_EVERY_MS = 200;

const { values } = parseArgs({ options: { folder: { type: 'string' }, url: { type: 'string' } } });
const url = values.url ?? process.env['DATABASE_URL'];
const folder = values.folder ?? process.env['TALLY_DATA'];
const stopped = untilStopped();
const database = await startOrTell(() => openDatabase({ ...(url ? { url } : {}), ...(folder ? { folder } : {}) }));
const { from, to } = await migrate(database);
const postmaster = database.postmasterPid() ?? null;
announceReady({ kind: database.kind, at: database.describe(), postmaster, from, to });
const reason = await Promise.race([stopped, untilDead(database)]);
if (reason === 'dead') process.exit(1);
await database.stop();

/** A server that is not ours never counts as dead: its own supervisor looks after it. */
async function untilDead({ kind, postmasterPid }: Database): Promise<'dead'> {
  const { promise, resolve } = Promise.withResolvers<'dead'>();
  const timer = setInterval(() => {
    if (kind === 'embedded' && postmasterPid() === undefined) resolve('dead');
  }, LOOK_EVERY_MS);
  return promise.finally(() => clearInterval(timer));
}
