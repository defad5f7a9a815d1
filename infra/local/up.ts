/**
 * `npm start`: brings the platform up on this machine and leaves it up until Ctrl-C.
 * Promise: prints every address it listens on; what it started it stops, and nothing else.
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { untilStopped } from '@tallystick/engine/program';
import { startPlatform } from './platform.ts';

const HELP = `npm start -- [options]

  --data DIR      where everything is kept            (default: .tally in this folder, or TALLY_DATA)
  --host ADDRESS  where the api listens               (default: 127.0.0.1)
  --port PORT     port of the api; 0: any free one    (default: 0, or TALLY_PORT)
  --quantum MS    length of the billing minute        (default: 60000)
  --grace MS      how long a frozen machine may wait  (default: 120000)
  --allow-lite    accept weaker isolation where this machine offers no better one (development only)
  --production    no development deposits
DATABASE_URL, when set, is used instead of the embedded database.
TALLY_ADMINS names the principals, comma separated, who may ask for the scope platform:admin.`;

const ROOT = join(import.meta.dirname, '..', '..');

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    host: { type: 'string' },
    port: { type: 'string' },
    quantum: { type: 'string' },
    grace: { type: 'string' },
    'allow-lite': { type: 'boolean' },
    production: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

async function main(): Promise<void> {
  if (values.help) return console.log(HELP);
  const stopped = untilStopped();
  await using platform = await startPlatform({
    folder: resolve(values.data ?? process.env['TALLY_DATA'] ?? join(ROOT, '.tally')),
    port: Number(values.port ?? process.env['TALLY_PORT'] ?? 0),
    development: values.production !== true,
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values.quantum === undefined ? {} : { quantumMs: Number(values.quantum) }),
    ...(values.grace === undefined ? {} : { graceMs: Number(values.grace) }),
    ...(values['allow-lite'] === undefined ? {} : { allowLite: values['allow-lite'] }),
    onProgress: (line) => console.log(`  ${line}`),
  });
  console.log(`\nTallystick is up.
  API      ${platform.url}          (OpenAPI: ${platform.url}/openapi.json, live: ${platform.url.replace('http', 'ws')}/v1/live)
  Database ${platform.database}
  Machines isolation level ${platform.isolation}
  Next     npx tally login --new && npx tally deposit '$5' && npx tally job create --budget '$1'
Ctrl-C stops everything.`);
  console.log(`\nstopping (${await stopped})`);
}

await main().catch((fault: Error) => {
  console.error(`\nTallystick could not be started: ${fault.message}`);
  process.exitCode = 1;
});
