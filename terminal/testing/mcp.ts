/**
 * `tally mcp` as a process of its own, spoken to by the official client.
 * Promise: it sees the test terminal's home and environment only, and is gone when disposed.
 */
import { fileURLToPath } from 'node:url';
import { type CallToolResult, Client, type ClientOptions } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

export type Structured = Record<string, unknown>;

export interface McpSession extends AsyncDisposable {
  client: Client;
  /** What it said on standard error. */
  said(): string;
  /** The answer of a tool. @errors throws the problem's text when it is refused */
  call(name: string, input?: Structured): Promise<Structured>;
  /** Answer and all. */
  ask(name: string, input?: Structured): Promise<CallToolResult>;
  /** The problem of a tool that is refused. @errors throws when it is not */
  refusal(name: string, input?: Structured): Promise<Structured>;
}

const textOf = ({ content }: CallToolResult): string => (content[0]?.type === 'text' ? content[0].text : '');

/** Starts it with exactly this environment and PATH. */
export async function openMcp(env: Record<string, string>, options?: ClientOptions): Promise<McpSession> {
  const client = new Client({ name: 'test', version: '1' }, options);
  const transport = new StdioClientTransport({ command: process.execPath, args: [MAIN, 'mcp'], env, stderr: 'pipe' });
  let said = '';
  transport.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await client.connect(transport);
  const ask = (name: string, input: Structured = {}) => client.callTool({ name, arguments: input });
  return {
    client,
    said: () => said,
    ask,
    async call(name, input) {
      const answer = await ask(name, input);
      if (answer.isError) throw new Error(`${name}: ${textOf(answer)}`);
      return answer.structuredContent as Structured;
    },
    async refusal(name, input) {
      const answer = await ask(name, input);
      if (!answer.isError) throw new Error(`${name} was not refused: ${textOf(answer)}`);
      return JSON.parse(textOf(answer)) as Structured;
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}
