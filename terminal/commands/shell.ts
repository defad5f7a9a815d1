/**
 * `tally shell` and `tally exec -t`: a command in a sandbox on this terminal, as if it ran here.
 * Promise: this terminal is as it was before, however the session ends; detaching leaves the command running.
 */
import { type ExecStream, nameOfRun, type Sandbox, type Terminal, type Typing } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { EXEC_EXIT_CODES_HELP, EXIT_EXEC_SANDBOX_ENDED, EXIT_OK } from '../exit-code.ts';
import { type Io, type Screen, write } from '../io.ts';
import { addCommand, duration, given, idOf, onRun, type Run, type World, withPayment } from './command.ts';
import { exitCodeOf, readEnvironment, tellEnd, type Wanted } from './exec-end.ts';

/** Of a terminal that nobody looks at. */
const SIZE_DEFAULT = { columns: 80, rows: 24 };
/** An interactive shell of the image, the better one where it is there. */
const SHELL_ARGV = ['sh', '-c', 'command -v bash >/dev/null && exec bash -i; exec sh -i'];
const CARRIAGE_RETURN = 13;
const NEW_LINE = 10;
const TILDE = 126;
const DOT = 46;

export const DETACH_HELP = 'Enter, then ~ and . detaches: the command runs on. Enter, ~ and ~ types one ~.';

export interface ShellOptions {
  env?: string[];
  cwd?: string;
  timeout?: bigint;
  execId?: string;
  key?: string;
}

export function addShellCommand(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'shell',
    summary: `a terminal in a sandbox. ${DETACH_HELP}`,
    examples: ['tally shell sbx_0192…', 'tally shell sbx_0192… --cwd app -- vi notes.txt'],
    exitCodes: EXEC_EXIT_CODES_HELP,
  })
    .addArgument(new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx')))
    .argument('[command...]', 'program and arguments, after --; absent: bash, or else sh')
    .option('--env <name=value...>', 'additional environment')
    .option('--cwd <path>', 'working directory (default: the home directory)')
    .option('--timeout <time>', 'kill it after this long', duration)
    .option('--exec-id <id>', 'name of this run; the same name starts at most once', idOf('exec'));
  onRun<ShellOptions>(world, withPayment(command), async (run, [id, ...argv], options) => {
    const sandbox = (await run.connect()).sandboxes.attach(id!);
    return runOnTerminal(run, sandbox, argv.length > 0 ? argv : SHELL_ARGV, options);
  });
}

/** Starts a command on a terminal of this one's size and stays with it; the exit code is the command's. */
export async function runOnTerminal(
  { io }: Run,
  sandbox: Sandbox,
  argv: string[],
  { env, cwd, timeout, execId, key }: ShellOptions,
): Promise<number> {
  const leave = new AbortController();
  const wishes = given({ cwd, timeoutMs: timeout });
  const terminal = await sandbox.terminal(argv, {
    ...wishes,
    env: { ...termOf(io), ...readEnvironment(env ?? []) },
    ...nameOfRun({ execId, key }),
    tty: io.screen?.size() ?? SIZE_DEFAULT,
    signal: leave.signal,
  });
  return stayWith(io, sandbox, terminal, { leave, wanted: { program: argv[0]!, cwd } });
}

const termOf = ({ env, screen }: Io): Record<string, string> => (screen && env['TERM'] ? { TERM: env['TERM'] } : {});

/** Shows what comes and sends what is typed until the command ends or the reader detaches. */
export async function stayWith(
  io: Io,
  sandbox: Sandbox,
  terminal: Terminal,
  { leave, wanted }: { leave: AbortController; wanted: Wanted },
): Promise<number> {
  const stop = io.screen ? takeScreen(io, io.screen, terminal, leave) : pipeIn(io, terminal);
  try {
    await show(io, terminal);
  } catch (fault) {
    if (!leave.signal.aborted) throw fault;
    stop();
    await write(io.stderr, `\ntally: detached; come back with: tally exec attach ${sandbox.id} ${terminal.execId}\n`);
    return EXIT_OK;
  } finally {
    stop();
  }
  const outcome = await terminal.outcome;
  return (await tellEnd(io, sandbox, outcome, wanted)) ? EXIT_EXEC_SANDBOX_ENDED : exitCodeOf(outcome);
}

export async function show(io: Io, run: ExecStream): Promise<void> {
  for await (const { stream, bytes } of run) await write(io[stream], bytes);
}

/** What was typed after the command's end is nobody's. */
const orNothing = (sent: Promise<void>): void => void sent.catch(() => undefined);

/** Keys go there as they are, and a new size is told. Returns how to give the screen back. */
function takeScreen(io: Io, screen: Screen, typing: Typing, leave: AbortController): () => void {
  const keys = detachFilter();
  const onData = (bytes: Buffer): void => {
    const { pass, isDetached } = keys(bytes);
    if (pass.length > 0) orNothing(typing.write(pass));
    if (isDetached) leave.abort(new Error('detached'));
  };
  const tellSize = (): void => orNothing(typing.resize(screen.size()));
  const release = screen.onResize(tellSize);
  screen.setRaw(true);
  io.stdin.on('data', onData);
  tellSize();
  let isStopped = false;
  return () => {
    if (isStopped) return;
    isStopped = true;
    release();
    io.stdin.off('data', onData);
    io.stdin.pause();
    screen.setRaw(false);
  };
}

/** No terminal here: what stands on standard input is typed. */
function pipeIn(io: Io, typing: Typing): () => void {
  let isStopped = false;
  const pump = async (): Promise<void> => {
    for await (const bytes of io.stdin) {
      if (isStopped) return;
      await typing.write(bytes as Buffer);
    }
    await typing.end();
  };
  orNothing(pump());
  return () => {
    isStopped = true;
    io.stdin.destroy();
  };
}

/** Finds `~.` at the beginning of a line, as ssh does; a `~` there waits for the key that follows. */
export function detachFilter(): (bytes: Uint8Array) => { pass: Buffer; isDetached: boolean } {
  let isLineStart = true;
  let isHeld = false;
  return (bytes) => {
    const pass: number[] = [];
    for (const byte of bytes) {
      if (isHeld && byte === DOT) return { pass: Buffer.from(pass), isDetached: true };
      if (isHeld && byte !== TILDE) pass.push(TILDE);
      const isNowHeld = isLineStart && !isHeld && byte === TILDE;
      if (!isNowHeld) pass.push(byte);
      isLineStart = byte === CARRIAGE_RETURN || byte === NEW_LINE;
      isHeld = isNowHeld;
    }
    return { pass: Buffer.from(pass), isDetached: false };
  };
}
