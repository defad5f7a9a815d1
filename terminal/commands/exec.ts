/**
 * `tally exec`: a command in a sandbox as if it ran here.
 * Promise: its bytes come out as they are, and its exit code is ours; when the paid time ends it, the reason is told.
 */
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import {
  type ExecEnd,
  type ExecOptions,
  type ExecResult,
  newExecId,
  type OutputChunk,
  plain,
  type Sandbox,
  SandboxSchema,
  STDIN_BYTES_MAX,
} from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import {
  EXEC_EXIT_CODES_HELP,
  EXIT_EXEC_NOT_STARTED,
  EXIT_EXEC_SANDBOX_ENDED,
  EXIT_EXEC_SIGNAL,
  EXIT_EXEC_TIMEOUT,
  EXIT_REFUSED,
} from '../exit-code.ts';
import { type Io, write } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, duration, given, idOf, onRun, type Run, type World, withKey } from './command.ts';

interface Options {
  env?: string[];
  secret?: string[];
  sensitive?: boolean;
  cwd?: string;
  timeout?: bigint;
  stdin?: string;
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
    .option('--exec-id <id>', 'name of this run; the same name starts at most once', idOf('exec'));
  onRun<Options>(world, withKey(command), runCommand);
}

async function runCommand({ io, out, connect }: Run, [id, ...argv]: string[], options: Options): Promise<number> {
  const sandbox = (await connect()).sandboxes.attach(id!);
  const execId = options.execId ?? newExecId();
  const release = passInterruptsOn(io, sandbox, execId);
  try {
    const stdin = options.stdin === undefined ? undefined : await readStdin(io, options.stdin);
    const wishes: ExecOptions = given({
      cwd: options.cwd,
      timeoutMs: options.timeout,
      secrets: options.secret,
      sensitive: options.sensitive,
      key: options.key,
      stdin,
      execId,
    });
    const live = out.isJson ? {} : { onOutput: ({ stream, bytes }: OutputChunk) => write(io[stream], bytes) };
    const result = await sandbox.exec(argv, { ...wishes, ...live, env: readEnvironment(options.env ?? []) });
    if (out.isJson) await out.record(jsonOf(result));
    const hasSandboxEnded = await tellEnd(io, sandbox, result);
    return hasSandboxEnded ? EXIT_EXEC_SANDBOX_ENDED : exitCodeOf(result);
  } finally {
    release();
  }
}

/** @errors UsageError naming the pair */
export function readEnvironment(pairs: string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new UsageError(`${JSON.stringify(pair)} is no NAME=VALUE.`, 'Write --env NAME=VALUE.');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
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
  stdout: result.stdout,
  stderr: result.stderr,
  truncated: result.truncated,
  receipt_id: result.receiptId,
});

const MAY_BE_THE_SANDBOXS: ReadonlySet<ExecEnd> = new Set(['lease_ended', 'sandbox_lost', 'killed']);

/** Explains anything but an exit by itself, and says whether the sandbox ended under the command. */
async function tellEnd(io: Io, sandbox: Sandbox, { end, signal }: ExecResult): Promise<boolean> {
  if (end === 'exited') return false;
  const reason = MAY_BE_THE_SANDBOXS.has(end) ? await reasonOf(sandbox) : '';
  const because = reason || signal;
  await write(io.stderr, `tally: the command ended: ${end}${because ? ` (${because})` : ''}\n`);
  return reason !== '';
}

/**
 * Why the sandbox runs no more and until when it was paid; empty while it runs. A platform that is gone takes nothing away
 * from the command's end itself.
 */
async function reasonOf(sandbox: Sandbox): Promise<string> {
  try {
    const { status, stop_reason, paid_until } = plain(SandboxSchema, await sandbox.refresh());
    if (status === 'running') return '';
    return `sandbox ${status}: ${stop_reason}${paid_until ? `, paid until ${paid_until}` : ''}`;
  } catch {
    return '';
  }
}

/** @see EXEC_EXIT_CODES_HELP */
export function exitCodeOf({ end, exitCode, signal }: Pick<ExecResult, 'end' | 'exitCode' | 'signal'>): number {
  switch (end) {
    case 'exited':
      return exitCode ?? EXIT_REFUSED;
    case 'not_started':
      return EXIT_EXEC_NOT_STARTED;
    case 'timeout':
      return EXIT_EXEC_TIMEOUT;
    case 'lease_ended':
    case 'sandbox_lost':
      return EXIT_EXEC_SANDBOX_ENDED;
    case 'oom':
    case 'killed':
      return EXIT_EXEC_SIGNAL + constants.signals.SIGKILL;
    case 'signaled':
      return EXIT_EXEC_SIGNAL + (constants.signals[signal as NodeJS.Signals] ?? 0);
    default:
      return EXIT_REFUSED;
  }
}
