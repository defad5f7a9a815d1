/**
 * The two doors through which people and agents come: the command line, and a client of the Model Context Protocol.
 * Promise: both are the programs that are shipped, in processes of their own, with a home folder and an environment of their own.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { type Platform, ROOT } from './platform.ts';

const TALLY = join(ROOT, 'terminal', 'bin', 'tally.mjs');
const PASSPHRASE = 'of a newcomer';

export type Value = Record<string, unknown>;

export interface Said {
  code: number;
  out: string;
  err: string;
}

export interface CommandLine {
  env: Record<string, string>;
  folder: string;
  /** Runs a command to its end, whatever the end. */
  run(...argv: string[]): Promise<Said>;
  /** The answer of a command with --json. @errors rejects with what it said when it is refused */
  tally(...argv: string[]): Promise<Value>;
  /** The problem of a command with --json that is refused. */
  refusal(...argv: string[]): Promise<Value>;
}

/** A person's terminal: finds the platform as one in its clone does. */
export function commandLine(platform: Platform, folder: string, more: Record<string, string> = {}): CommandLine {
  const env = {
    PATH: process.env['PATH'] ?? '',
    TALLY_DATA: platform.folder,
    TALLY_HOME: join(folder, 'tally'),
    TALLY_PASSPHRASE: PASSPHRASE,
    ...more,
  };
  async function run(...argv: string[]): Promise<Said> {
    const child = spawn(process.execPath, [TALLY, ...argv], { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err] = [textOf(child.stdout), textOf(child.stderr)];
    const [code] = (await once(child, 'close')) as [number];
    return { code, out: out(), err: err() };
  }
  const withJson = (argv: string[]): string[] => {
    const at = argv.indexOf('--');
    return argv.toSpliced(at < 0 ? argv.length : at, 0, '--json');
  };
  return {
    env,
    folder,
    run,
    async tally(...argv) {
      const { code, out, err } = await run(...withJson(argv));
      assert.equal(code, 0, `tally ${argv.join(' ')}: ${err}`);
      return JSON.parse(out) as Value;
    },
    async refusal(...argv) {
      const { code, err, out } = await run(...withJson(argv));
      assert.notEqual(code, 0, `tally ${argv.join(' ')} was not refused: ${out}`);
      return (JSON.parse(err) as { error: Value }).error;
    },
  };
}

function textOf(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

export interface Told {
  isError: boolean;
  /** It is the answer to an earlier call under the same key. */
  isReplayed: boolean;
  value: Value;
}

export interface Tools extends AsyncDisposable {
  /** Whatever a tool says. */
  ask(name: string, input?: Value): Promise<Told>;
  /** The answer of a tool. @errors rejects with the problem when it is refused */
  call(name: string, input?: Value): Promise<Value>;
  /** The problem of a tool that is refused. */
  refusal(name: string, input?: Value): Promise<Value>;
}

/** An agent that uses the login of this terminal. */
export async function openTools({ env, folder }: CommandLine): Promise<Tools> {
  const client = new Client({ name: 'an agent', version: '1' });
  await client.connect(
    new StdioClientTransport({ command: process.execPath, args: [TALLY, 'mcp'], env, cwd: folder, stderr: 'inherit' }),
  );
  async function ask(name: string, input: Value = {}): Promise<Told> {
    const { isError = false, structuredContent, content, _meta } = await client.callTool({ name, arguments: input });
    const text = content[0]?.type === 'text' ? content[0].text : '';
    const isReplayed = _meta?.['tallystick/replayed'] === true;
    return { isError, isReplayed, value: (structuredContent ?? JSON.parse(text)) as Value };
  }
  return {
    ask,
    async call(name, input) {
      const { isError, value } = await ask(name, input);
      assert.equal(isError, false, `${name}: ${JSON.stringify(value)}`);
      return value;
    },
    async refusal(name, input) {
      const { isError, value } = await ask(name, input);
      assert.equal(isError, true, `${name} was not refused: ${JSON.stringify(value)}`);
      return value;
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}
