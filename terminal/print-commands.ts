/**
 * Prints which command asks for which operation, as JSON, for the API reference; `npm run gen` reads it.
 * Promise: names no command that the program does not have.
 */
import { COMMAND_BY_OPERATION, commandNames } from './commands/by-operation.ts';
import { processIo } from './io.ts';
import { createProgram } from './program.ts';

const known = new Set(commandNames(createProgram({ io: processIo(), exitCode: 0, isJson: false })));
const real = Object.entries(COMMAND_BY_OPERATION).filter(([, command]) => known.has(command));
process.stdout.write(JSON.stringify(Object.fromEntries(real)));
