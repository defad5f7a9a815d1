/**
 * `tally exec`: a command in a sandbox as if it ran here.
 * Promise: its bytes come out as they are, and its exit code is ours; when the paid time ends it, the reason is told.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type ExecOptions,
  type ExecResult,
  nameOfRun,
  type OutputChunk,
  type Sandbox,
  STDIN_BYTES_MAX,
} from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { EXEC_EXIT_CODES_HELP, EXIT_EXEC_SANDBOX_ENDED } from '../exit-code.ts';
import { type Io, write } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, duration, given, idOf, onRun, type Run, type World, withPayment } from './command.ts';
import { exitCodeOf, readEnvironment, tellEnd } from './exec-end.ts';
import { addExecRunCommands } from './exec-runs.ts';
import { DETACH_HELP, runOnTerminal } from './shell.ts';

interface Options {
  env?: string[];
  secret?: string[];
  sensitive?: boolean;
  cwd?: string;
  timeout?: bigint;
  stdin?: string;
  tty?: boolean;
  execId?: string;
  key?: string;
}

export function addExecCommand(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'exec',
    summary: "run a command in a sandbox; output comes live, the exit code is the command's",
    examples: [
      'tally exec sbx_0192… -- ls -la',
      'tally exec sbx_0192… --env CI=1 --cwd app --timeout 10m -- npm test',
      'echo 1 2 3 | tally exec sbx_0192… --stdin - -- wc -w',
    ],
    exitCodes: EXEC_EXIT_CODES_HELP,
  })
    .addArgument(new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx')))
    .argument('<command...>', 'program and arguments, after --; no shell is involved')
    .option('--env <name=value...>', 'additional environment')
    .option('--secret <name...>', 'released secrets that it gets in its environment')
    .option('--sensitive', 'refuse it while no secret was released')
    .option('--cwd <path>', 'working directory (default: the home directory)')
    .option('--timeout <time>', 'kill it after this long', duration)
    .option('--stdin <file>', 'standard input: a file, or - for ours; at most 1 MiB')
    .option('-t, --tty', `on a terminal, with what is typed here. ${DETACH_HELP}`)
    .option('--exec-id <id>', 'name of this run; the same name starts at most once', idOf('exec'));
  onRun<Options>(world, withPayment(command), runCommand);
  addExecRunCommands(command, world);
}

async function runCommand(run: Run, [id, ...argv]: string[], options: Options): Promise<number> {
  const { io, out } = run;
  const sandbox = (await run.connect()).sandboxes.attach(id!);
  if (options.tty) {
    if (options.stdin !== undefined || out.isJson)
      throw new UsageError(
        '--tty goes with neither --stdin nor --json.',
        'A terminal types what comes on standard input.',
      );
    return runOnTerminal(run, sandbox, argv, options);
  }
  const { execId, key } = nameOfRun(options);
  const release = passInterruptsOn(io, sandbox, execId);
  try {
    const stdin = options.stdin === undefined ? undefined : await readStdin(io, options.stdin);
    const wishes: ExecOptions = given({
      cwd: options.cwd,
      timeoutMs: options.timeout,
      secrets: options.secret,
      sensitive: options.sensitive,
      key,
      stdin,
      execId,
    });
    const live = out.isJson ? {} : { onOutput: ({ stream, bytes }: OutputChunk) => write(io[stream], bytes) };
    const result = await sandbox.exec(argv, { ...wishes, ...live, env: readEnvironment(options.env ?? []) });
    if (out.isJson) await out.record(jsonOf(result));
    const hasSandboxEnded = await tellEnd(io, sandbox, result, { program: argv[0]!, cwd: options.cwd });
    return hasSandboxEnded ? EXIT_EXEC_SANDBOX_ENDED : exitCodeOf(result);
  } finally {
    release();
  }
}

async function readStdin(io: Io, from: string): Promise<Uint8Array> {
  const bytes = from === '-' ? await readBounded(io.stdin) : await readFile(resolve(io.folder, from));
  if (bytes.length > STDIN_BYTES_MAX)
    throw new UsageError(
      `Standard input has more than ${STDIN_BYTES_MAX} bytes.`,
      'Copy a file with `tally cp` and let the command read it.',
    );
  return bytes;
}

async function readBounded(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > STDIN_BYTES_MAX) break;
  }
  return Buffer.concat(chunks);
}

/** The first interrupt goes to the command as SIGINT, the second as SIGKILL. */
function passInterruptsOn(io: Io, sandbox: Sandbox, execId: string): () => void {
  let times = 0;
  return io.onInterrupt(() => {
    const signal = times++ === 0 ? 'SIGINT' : 'SIGKILL';
    sandbox
      .signal(execId, signal)
      .catch((fault: Error) => io.stderr.write(`tally: cannot send ${signal}: ${fault.message}\n`));
  });
}

const jsonOf = (result: ExecResult) => ({
  exec_id: result.execId,
  sandbox_id: result.sandboxId,
  end: result.end,
  exit_code: result.exitCode ?? null,
  signal: result.signal ?? null,
  start_error: result.startError ?? null,
  stdout: result.stdout,
  stderr: result.stderr,
  truncated: result.truncated,
  receipt_id: result.receiptId,
});
