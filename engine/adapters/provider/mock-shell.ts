/**
 * A tiny command interpreter for the mock: echo, cat, sleep, exit, true, false, pwd, and `sh -c` lines of them.
 * Promise: pure; a command becomes steps in running time, nothing is waited for.
 */

/** At `atMs` after the start, something is written, or it ends. */
export interface Step {
  atMs: number;
  stream?: 1 | 2;
  bytes?: Buffer;
  /** Exit code of the whole command; the last step. */
  code?: number;
}

export interface ShellWorld {
  env: Record<string, string>;
  cwd: string;
  stdin: Buffer;
  file(path: string): Buffer | undefined;
  /** The HTTP status with which an address answers. */
  reach(url: string): number;
}

interface Result {
  code: number;
  /** `exit` ends the whole line. */
  isLast?: boolean;
}

interface Run {
  world: ShellWorld;
  steps: Step[];
  nowMs: number;
}

const FOR_EVER_MS = Number.MAX_SAFE_INTEGER / 2;

type Program = (words: string[], run: Run, stream: 1 | 2) => Result;

function print(run: Run, stream: 1 | 2, bytes: Buffer): void {
  if (bytes.length > 0) run.steps.push({ atMs: run.nowMs, stream, bytes });
}

const fail = (run: Run, text: string, code = 1): Result => {
  print(run, 2, Buffer.from(`${text}\n`));
  return { code };
};

function cat(words: string[], run: Run, stream: 1 | 2): Result {
  if (words.length === 0) print(run, stream, run.world.stdin);
  for (const path of words) {
    const bytes = run.world.file(path);
    if (!bytes) return fail(run, `cat: ${path}: No such file or directory`);
    print(run, stream, bytes);
  }
  return { code: 0 };
}

const PROGRAMS: Record<string, Program> = {
  echo: (words, run, stream) => {
    print(run, stream, Buffer.from(`${words.join(' ')}\n`));
    return { code: 0 };
  },
  cat,
  sleep: (words, run) => {
    run.nowMs += Math.round(Number(words[0] ?? 0) * 1_000);
    return { code: 0 };
  },
  exit: (words) => ({ code: Number(words[0] ?? 0) & 255, isLast: true }),
  true: () => ({ code: 0 }),
  false: () => ({ code: 1 }),
  /** Runs until it is ended; `listen.mjs PORT` can be spoken to, see mock-port.ts. */
  node: (_, run) => {
    run.nowMs += FOR_EVER_MS;
    return { code: 0 };
  },
  /** Prints the status alone. */
  curl: (words, run, stream) => {
    print(run, stream, Buffer.from(String(run.world.reach(words.at(-1) ?? ''))));
    return { code: 0 };
  },
  pwd: (_, run, stream) => {
    print(run, stream, Buffer.from(`${run.world.cwd}\n`));
    return { code: 0 };
  },
};

/** Words of one command; single and double quotes hold words together, $NAME is replaced outside single quotes. */
function wordsOf(text: string, env: Record<string, string>): string[] {
  const pieces = text.match(/'[^']*'|"[^"]*"|[^\s'"]+/g) ?? [];
  const expand = (piece: string): string => piece.replace(/\$(\w+)/g, (_, name: string) => env[name] ?? '');
  return pieces.map((piece) => {
    if (piece.startsWith("'")) return piece.slice(1, -1);
    return expand(piece.startsWith('"') ? piece.slice(1, -1) : piece);
  });
}

function runLine(line: string, run: Run): Result {
  let last: Result = { code: 0 };
  for (const part of line.split(';').map((text) => text.trim())) {
    if (part === '') continue;
    const isToErr = part.endsWith('>&2');
    const words = wordsOf(isToErr ? part.slice(0, -3) : part, run.world.env);
    last = runWords(words, run, isToErr ? 2 : 1);
    if (last.isLast) return last;
  }
  return last;
}

function runWords([name = '', ...words]: string[], run: Run, stream: 1 | 2): Result {
  const base = name.slice(name.lastIndexOf('/') + 1);
  if (base === 'sh' && words[0] === '-c') return runLine(words[1] ?? '', run);
  const program = Object.hasOwn(PROGRAMS, base) ? PROGRAMS[base] : undefined;
  return program ? program(words, run, stream) : fail(run, `sh: ${name}: not found`, 127);
}

/** Undefined when there is no such program, as a machine that cannot start it. */
export function stepsOf(argv: string[], world: ShellWorld): Step[] | undefined {
  const base = (argv[0] ?? '').slice((argv[0] ?? '').lastIndexOf('/') + 1);
  if (base !== 'sh' && !Object.hasOwn(PROGRAMS, base)) return undefined;
  const run: Run = { world, steps: [], nowMs: 0 };
  const { code } = runWords(argv, run, 1);
  return [...run.steps, { atMs: run.nowMs, code }];
}
