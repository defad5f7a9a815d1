/**
 * `tally exec list` and `tally exec attach`: the commands of a sandbox, and coming back to one.
 * Promise: who comes back sees what came meanwhile, as far as it is kept, and then what comes.
 */
import { ExecSchema, type ExecState, plain, type Sandbox } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { EXEC_EXIT_CODES_HELP, EXIT_EXEC_SANDBOX_ENDED } from '../exit-code.ts';
import type { Column } from '../output/render.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, idOf, onRun, type World } from './command.ts';
import { exitCodeOf, tellEnd } from './exec-end.ts';
import { DETACH_HELP, show, stayWith } from './shell.ts';

const SANDBOX_ID = new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx'));
const COLUMNS: Column[] = [
  { field: 'exec_id', heading: 'EXEC' },
  { field: 'program', heading: 'PROGRAM' },
  { field: 'running', heading: 'RUNNING' },
  { field: 'end', heading: 'END' },
  { field: 'exit_code', heading: 'CODE' },
  { field: 'started_at', heading: 'STARTED' },
];
/** A screen's worth and more, of what a terminal showed before. */
const SCREEN_BYTES_BACK = 64n * 1024n;

export function addExecRunCommands(exec: Command, world: World): void {
  // else `exec` itself would take the options of the commands below it
  exec.enablePositionalOptions();
  const list = addCommand(exec, {
    usage: 'list',
    summary: 'list the commands of a sandbox, running and ended',
    examples: ['tally exec list sbx_0192…'],
  }).addArgument(SANDBOX_ID);
  onRun(world, list, async ({ connect, out }, [id]) => {
    const execs = await (await connect()).sandboxes.attach(id!).execs();
    const rows = execs.map((one) => plain(ExecSchema, one));
    await out.list('execs', rows, COLUMNS);
  });
  const attach = addCommand(exec, {
    usage: 'attach',
    summary: `come back to a command: its output from the beginning, or its terminal. ${DETACH_HELP}`,
    examples: ['tally exec attach sbx_0192… exec_0192…'],
    exitCodes: EXEC_EXIT_CODES_HELP,
  })
    .addArgument(SANDBOX_ID)
    .addArgument(new Argument('<exec>', 'id of the command: exec_…').argParser(idOf('exec')));
  onRun(world, attach, async ({ io, connect }, [id, execId]) => {
    const sandbox = (await connect()).sandboxes.attach(id!);
    const known = await found(sandbox, execId!);
    const leave = new AbortController();
    const run = sandbox.attach(execId!, known.tty ? backFrom(known) : 0n, leave.signal);
    if (known.tty && known.running)
      return stayWith(io, sandbox, { ...run, ...sandbox.input(execId!, leave.signal) }, { leave, wanted: known });
    await show(io, run);
    const outcome = await run.outcome;
    return (await tellEnd(io, sandbox, outcome, known)) ? EXIT_EXEC_SANDBOX_ENDED : exitCodeOf(outcome);
  });
}

/** @errors UsageError when no such command ever ran there */
async function found(sandbox: Sandbox, execId: string): Promise<ExecState> {
  const known = (await sandbox.execs()).find((one) => one.execId === execId);
  if (known) return known;
  throw new UsageError(`${execId} never ran in ${sandbox.id}.`, 'See `tally exec list`.');
}

function backFrom({ stdoutBytes }: ExecState): bigint {
  return stdoutBytes > SCREEN_BYTES_BACK ? stdoutBytes - SCREEN_BYTES_BACK : 0n;
}
