/**
 * `npm start`: brings the platform up on this machine and leaves it up until Ctrl-C.
 * Promise: prints every address it listens on; what it started it stops, and nothing else. A wrong setting is told in one line.
 */
import { join, resolve } from 'node:path';
import { SettingError, untilStopped } from '@tallystick/engine/program';
import { argumentsOf, exitCodeOf, isolationOf } from './arguments.ts';
import { greeting } from './greeting.ts';
import { startPlatform } from './platform.ts';

const HELP = `npm start -- [options]

  --data DIR      where everything is kept            (default: .tally in this folder, or TALLY_DATA)
  --host ADDRESS  where the api listens               (default: 127.0.0.1)
  --port PORT     port of the api; 0: any free one,   (default: TALLY_PORT, or that of the last start, or 8080; else any)
                  which the next start does not take again
  --quantum MS    length of the billing minute        (default: 60000)
  --grace MS      how long a frozen machine may wait  (default: 120000)
  --isolation L   gvisor, ns or auto                  (default: auto, which is ns; or TALLY_ISOLATION)
  --allow-lite    accept weaker isolation where this machine offers no better one (development only)
  --production    no development deposits
DATABASE_URL, when set, is used instead of the embedded database.
TALLY_ADMINS names the principals, comma separated, who may ask for the scope platform:admin.`;

const DEFAULT_FOLDER = join(import.meta.dirname, '..', '..', '.tally');
const PORT_MAX = 65_535;
const QUANTUM_MS_MAX = 60_000;
const GRACE_MS_MAX = 3_600_000;

type Values = ReturnType<typeof readArguments>;

function readArguments() {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const named = { data: text, host: text, port: text, quantum: text, grace: text, isolation: text };
  return argumentsOf('npm start', { ...named, 'allow-lite': flag, production: flag, help: { ...flag, short: 'h' } });
}

/** An option as it was given, or the setting in its place. @errors throws SettingError naming it and its range */
function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value <= max) return value;
  throw new SettingError(`${name} is ${text}; it must be a whole number from 0 to ${max}`);
}

function portOf({ port }: Values): { port?: number } {
  const [name, text] = port === undefined ? ['the setting TALLY_PORT', process.env['TALLY_PORT']] : ['--port', port];
  return text ? { port: wholeNumber(name, text, PORT_MAX) } : {};
}

async function main(): Promise<void> {
  const values = readArguments();
  if (values.help) return console.log(HELP);
  const stopped = untilStopped();
  const folder = resolve(values.data ?? process.env['TALLY_DATA'] ?? DEFAULT_FOLDER);
  const development = values.production !== true;
  await using platform = await startPlatform({
    folder,
    development,
    ...portOf(values),
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values.quantum === undefined ? {} : { quantumMs: wholeNumber('--quantum', values.quantum, QUANTUM_MS_MAX) }),
    ...(values.grace === undefined ? {} : { graceMs: wholeNumber('--grace', values.grace, GRACE_MS_MAX) }),
    ...isolationOf(values.isolation),
    ...(values['allow-lite'] === undefined ? {} : { allowLite: values['allow-lite'] }),
    onProgress: (line) => console.log(`  ${line}`),
  });
  console.log(greeting(platform, { isDefaultFolder: folder === DEFAULT_FOLDER }));
  console.log(`\nstopping (${await stopped})`);
}

await main().catch((fault: Error) => {
  console.error(`Tallystick could not be started: ${fault.message}`);
  process.exitCode = exitCodeOf(fault);
});
