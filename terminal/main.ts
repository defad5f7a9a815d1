/**
 * The program `tally`.
 * Promise: ends with the exit code of its command, also when its reader goes away first.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { processIo } from './io.ts';
import { run } from './program.ts';

/** Runs this process's command line. */
export async function main(): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (fault: NodeJS.ErrnoException) => {
      if (fault.code !== 'EPIPE') throw fault;
      process.exit(process.exitCode ?? 0);
    });
  process.exitCode = await run(process.argv.slice(2), processIo());
}

const entry = process.argv[1];
if (entry && realpathSync(entry) === fileURLToPath(import.meta.url)) await main();
