/**
 * All commands of `tally`, and one run of them.
 * Promise: every way out has a documented exit code; nothing but answers goes to standard output.
 */
import { Command, CommanderError } from 'commander';
import { addAccountCommands } from './commands/account.ts';
import { addPolicyCommands } from './commands/admin.ts';
import type { World } from './commands/command.ts';
import { addCopyCommands } from './commands/copy.ts';
import { addDepositCommands } from './commands/deposits.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addExecCommand } from './commands/exec.ts';
import { addFsCommands } from './commands/fs.ts';
import { addJobCommands } from './commands/job.ts';
import { addLiveCommand } from './commands/live.ts';
import { addMcpCommand } from './commands/mcp.ts';
import { addPortCommands } from './commands/port.ts';
import { addQuoteCommands } from './commands/quotes.ts';
import { addReceiptCommands } from './commands/receipts.ts';
import { addSandboxCommands } from './commands/sandbox.ts';
import { addSecretCommands } from './commands/secret.ts';
import { addShellCommand } from './commands/shell.ts';
import { addSnapshotCommands } from './commands/snapshot.ts';
import { addWalletCommands } from './commands/wallet.ts';
import { addWithdrawCommands } from './commands/withdraw.ts';
import { EXIT_CODES_HELP, EXIT_OK, EXIT_USAGE } from './exit-code.ts';
import type { Io } from './io.ts';
import { failureOf, tellFailure } from './output/failure.ts';
import { VERSION } from './version.ts';

const FIRST_STEPS = `
First steps:
  tally login --new                                make a wallet and sign in
  tally deposit '$1'                               development money
  tally job create --budget '$0.50'                a spending window
  tally sandbox create --job job_…                 a machine in it
  tally exec sbx_… -- uname -a                     work
  tally receipts export all.jsonl && tally verify all.jsonl`;

/** The whole command line. Exit codes and errors go to `world`. */
export function createProgram(world: World): Command {
  const program = new Command('tally')
    .description('Tallystick: machines bought by the minute, and a signed receipt for every step.')
    .version(VERSION)
    .addHelpText('after', `${FIRST_STEPS}\n${EXIT_CODES_HELP}`)
    .enablePositionalOptions()
    .showSuggestionAfterError();
  addAccountCommands(program, world);
  addDepositCommands(program, world);
  addQuoteCommands(program, world);
  addWithdrawCommands(program, world);
  addWalletCommands(program, world);
  addJobCommands(program, world);
  addSandboxCommands(program, world);
  addExecCommand(program, world);
  addSecretCommands(program, world);
  addSnapshotCommands(program, world);
  addShellCommand(program, world);
  addCopyCommands(program, world);
  addFsCommands(program, world);
  addPortCommands(program, world);
  addReceiptCommands(program, world);
  addLiveCommand(program, world);
  addMcpCommand(program, world);
  addPolicyCommands(program, world);
  addDoctorCommand(program, world);
  settle(program, world);
  return program;
}

/** Commander's own exits and prints, for the command and all below it; a group says what it is for, an option that it is needed. */
function settle(command: Command, world: World): void {
  if (command.description() === '') command.description(command.summary());
  for (const option of command.options) if (option.mandatory) option.description += ' (required)';
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => void world.io.stdout.write(text),
    writeErr: (text) => void world.io.stderr.write(text),
  });
  for (const below of command.commands) settle(below, world);
}

/**
 * Runs one command line (without node and script) and says the exit code.
 * @example const code = await run(['balance', '--json'], processIo());
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const world: World = { io, exitCode: EXIT_OK, isJson: false };
  try {
    await createProgram(world).parseAsync([...argv], { from: 'user' });
    return world.exitCode;
  } catch (fault) {
    if (fault instanceof CommanderError) return fault.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
    const told = failureOf(fault);
    await tellFailure(io, world.isJson, told);
    return told.exitCode;
  }
}
