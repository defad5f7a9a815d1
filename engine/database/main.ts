/**
 * The program that owns the database: starts it, migrates it, says so in one JSON line, and stops it when told to.
 * Promise: after `"ready":true` any api or meter may connect; SIGTERM and SIGINT end the embedded server cleanly.
 */
import { parseArgs } from 'node:util';
import { migrate, openDatabase } from './index.ts';

const { values } = parseArgs({ options: { folder: { type: 'string' }, url: { type: 'string' } } });
const url = values.url ?? process.env['DATABASE_URL'];
const folder = values.folder ?? process.env['TALLY_DATA'];
const database = await openDatabase({ ...(url ? { url } : {}), ...(folder ? { folder } : {}) });
const { from, to } = await migrate(database);

const alive = setInterval(() => undefined, 2 ** 30);
const stop = (): void => {
  clearInterval(alive);
  void database.stop();
};
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
const line = {
  ready: true,
  kind: database.kind,
  at: database.describe(),
  pid: database.postmasterPid() ?? null,
  from,
  to,
};
process.stdout.write(`${JSON.stringify(line)}\n`);
