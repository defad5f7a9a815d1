/**
 * The MCP server: tools for agents, over standard input and output.
 * Promise: a refusal is an answer with isError and problem JSON; nothing that a tool meets ends the server.
 */
import { randomUUID } from 'node:crypto';
import { type CallToolResult, McpServer, type StandardSchemaWithJSON } from '@modelcontextprotocol/server';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import { type JsonObject, type Payment, refuseHere, type Tally } from '@tallystick/sdk';
import { type Io, write } from '../io.ts';
import { payingOf } from '../payments/payer.ts';
import { connectSaved, type Paying } from '../session.ts';
import { UsageError } from '../text/usage-error.ts';
import { VERSION } from '../version.ts';
import { execTools } from './exec-tools.ts';
import { FILE_TOOLS } from './file-tools.ts';
import { platformTools } from './platform-tools.ts';
import { problemOf } from './problem.ts';
import { RECEIPT_TOOLS } from './receipt-tools.ts';
import { screen, withProblem } from './screen.ts';
import type { Tool, ToolRun } from './tool.ts';

const INSTRUCTIONS = `Tallystick sells machines (sandboxes) by the minute, paid ahead, within a job's budget.
The usual way: billing_balance, job_create (a budget in micros: 1 USD = 1000000), sandbox_create (job_id), sandbox_exec, sandbox_upload,
sandbox_download, then sandbox_destroy or job_stop, since a running sandbox keeps buying minutes until its cap, its budget or its time ends.
A refusal is problem JSON: code, sentence, facts, suggestion. When it is outcome_unknown, repeat the same call with the
idempotency_key that it names: it happens at most once. Choose the key yourself to be able to repeat after no answer at all.
A call that lacks money is paid from the wallet within its owner's limits. When it is payment_above_limit or payment_declined, give the person the command in
the suggestion, and repeat the same call with the same idempotency_key once they ran it; do not look for another way to pay.`;

const KEY_PATTERN = '^[\\x21-\\x7e]{1,255}$';
const KEY_SCHEMA: JsonObject = {
  description: 'Repeat a call under the key of its first try to get the first answer; absent: a fresh one.',
  type: 'string',
  minLength: 1,
  maxLength: 255,
  pattern: KEY_PATTERN,
};
const META_KEY = 'tallystick/idempotency_key';
const META_REPLAYED = 'tallystick/replayed';
const META_PAYMENT = 'tallystick/payment';

/** Every tool, those of the contracts first. */
export const allTools = (): Tool[] => [...platformTools(), ...execTools(), ...FILE_TOOLS, ...RECEIPT_TOOLS];

/** What every call needs of the world. */
interface Surroundings {
  io: Io;
  /** The platform's address as given, if it was. */
  url: string | undefined;
  /** Where go faults that no caller can mend. */
  log: (fault: unknown) => void;
}

/** Answers until standard input ends, holds a message beyond the protocol library's limit, or an interrupt comes. */
export async function serveMcp(io: Io, url: string | undefined): Promise<void> {
  const tools = allTools();
  const log = (fault: unknown): void => void write(io.stderr, `tally mcp: ${textOf(fault)}\n`);
  const messages = io.stdin.pipe(screen((line) => void io.stdout.write(line)));
  const transport = new StdioServerTransport(messages, io.stdout);
  const send = transport.send.bind(transport);
  transport.send = (message) => send(withProblem(message));
  const over = Promise.withResolvers<void>();
  const handle = serveStdio(() => createMcpServer(tools, { io, url, log }), { transport, onerror: log });
  const closed = transport.onclose;
  transport.onclose = () => {
    closed?.();
    over.resolve();
  };
  const release = io.onInterrupt(over.resolve);
  try {
    await over.promise;
  } finally {
    release();
    await handle.close();
    io.stdin.destroy();
  }
}

const textOf = (fault: unknown): string => (fault instanceof Error ? (fault.stack ?? fault.message) : String(fault));

function createMcpServer(tools: readonly Tool[], surroundings: Surroundings): McpServer {
  const server = new McpServer(
    { name: 'tallystick', title: 'Tallystick', version: VERSION },
    { capabilities: { tools: { listChanged: false } }, instructions: INSTRUCTIONS },
  );
  for (const tool of tools) {
    const { name, description, annotations, outputSchema } = tool;
    const declared = { description, annotations, inputSchema: shown(inputOf(tool)), outputSchema: shown(outputSchema) };
    server.registerTool(name, declared, (input, { mcpReq }) =>
      callTool(tool, input as JsonObject, mcpReq.signal, surroundings),
    );
  }
  return server;
}

function inputOf({ inputSchema, isKeyed }: Tool): JsonObject {
  if (!isKeyed) return inputSchema;
  const properties = inputSchema['properties'] as JsonObject;
  return { ...inputSchema, properties: { ...properties, idempotency_key: KEY_SCHEMA } };
}

/** The library shows the schema to clients; what a call brings is judged by the tool, which knows how to word a refusal. */
const shown = (schema: JsonObject): StandardSchemaWithJSON => ({
  '~standard': {
    version: 1,
    vendor: 'tallystick',
    validate: (value) => ({ value }),
    jsonSchema: { input: () => schema, output: () => schema },
  },
});

/** One call; whatever happens is its answer. */
async function callTool(
  tool: Tool,
  given: JsonObject,
  signal: AbortSignal,
  { io, url, log }: Surroundings,
): Promise<CallToolResult> {
  const { idempotency_key: told, ...rest } = given;
  const asked = told ?? undefined;
  const key = tool.isKeyed && typeof asked === 'string' ? asked : randomUUID();
  let isReplayed = false;
  const payments: Payment[] = [];
  const run: ToolRun = {
    connect: () =>
      connectFor(io, url, payingOf({ io, wish: {}, canAsk: false, onPayment: (done) => payments.push(done) })),
    folder: io.folder,
    key,
    signal,
    onReplayed: () => {
      isReplayed = true;
    },
  };
  try {
    if (tool.isKeyed) checkKey(asked);
    const value = await tool.run(tool.isKeyed ? rest : given, run);
    const meta = tool.isKeyed ? { _meta: { [META_KEY]: key, [META_REPLAYED]: isReplayed, ...paidMeta(payments) } } : {};
    return { content: [{ type: 'text', text: JSON.stringify(value) }], structuredContent: value, ...meta };
  } catch (fault) {
    const tell = signal.aborted ? () => undefined : log; // nobody waits for what was cancelled
    const problem = { ...problemOf(fault, tell), ...(tool.isKeyed ? { idempotency_key: key } : {}) };
    return { content: [{ type: 'text', text: JSON.stringify(problem) }], isError: true };
  }
}

/** What the wallet paid for the call. */
function paidMeta(payments: readonly Payment[]): JsonObject {
  const payment = payments.at(-1);
  if (!payment) return {};
  const { transaction, network, payer, amountMicros } = payment;
  return { [META_PAYMENT]: { transaction, network, payer, amount_micros: Number(amountMicros ?? 0n) } };
}

/** @errors ApiError `idempotency_key_missing` */
function checkKey(asked: unknown): void {
  if (asked === undefined || (typeof asked === 'string' && new RegExp(KEY_PATTERN).test(asked))) return;
  throw refuseHere('IDEMPOTENCY_KEY_MISSING', {
    detail: 'idempotency_key must be 1 to 255 visible ASCII characters.',
    suggestion: 'Leave it out for a new call; repeat a call with the key of its first try.',
  });
}

/** Looked for anew for every call, so that a login is seen at once. @errors ApiError `credential_missing` */
async function connectFor(io: Io, url: string | undefined, paying: Paying): Promise<Tally> {
  try {
    return await connectSaved(io, url, paying);
  } catch (fault) {
    if (!(fault instanceof UsageError)) throw fault;
    throw refuseHere('CREDENTIAL_MISSING', { detail: fault.message, suggestion: fault.suggestion });
  }
}
