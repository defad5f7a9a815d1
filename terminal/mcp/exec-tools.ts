/**
 * What is typed into a running command, as a tool.
 * Promise: within this server every byte arrives once and in order, also when an answer was lost on the way.
 */
import type { Typing } from '@tallystick/sdk';
import { checkInput, flag, objectOf, text } from './schema.ts';
import type { Tool, ToolRun } from './tool.ts';

/** Commands that are typed into at once; whoever comes back to a forgotten one is a new writer there. */
const TYPED_MAX = 32;

const INPUT = objectOf(
  {
    id: text('The sandbox.', { pattern: '^sbx_[0-9a-f]{32}$' }),
    exec_id: text('The command; started by sandbox_exec with tty or stdin_open.', { pattern: '^exec_[0-9a-f]{32}$' }),
    content: text('What to type, as UTF-8; on a terminal a line ends with \\r. At most 65536 characters.', {
      maxLength: 65_536,
    }),
    end: flag('No more follows: the end of input after this.'),
  },
  ['id', 'exec_id'],
);

/** The writers that stay the same over the calls of one server, so that their bytes are counted on. */
type Typings = Map<string, Typing>;

async function typingOf(typings: Typings, id: string, execId: string, { connect }: ToolRun): Promise<Typing> {
  const known = typings.get(execId);
  if (known) return known;
  const typing = (await connect()).sandboxes.attach(id).input(execId);
  const oldest = typings.size < TYPED_MAX ? undefined : typings.keys().next().value;
  if (oldest !== undefined) typings.delete(oldest);
  typings.set(execId, typing);
  return typing;
}

/** A command that does not read is waited for until the client cancels the call. */
async function typed(typing: Typing, content: string, end: boolean, signal: AbortSignal): Promise<void> {
  const cancelled = Promise.withResolvers<never>();
  const cancel = (): void => cancelled.reject(signal.reason);
  signal.addEventListener('abort', cancel, { once: true });
  const both = (async () => {
    if (content !== '') await typing.write(content);
    if (end) await typing.end();
  })();
  await Promise.race([both, cancelled.promise]).finally(() => signal.removeEventListener('abort', cancel));
}

interface Input {
  id: string;
  exec_id: string;
  content?: string;
  end?: boolean;
}

const inputTool = (typings: Typings): Tool => ({
  name: 'sandbox_exec_input',
  description:
    'Type into a running command that was started with tty or stdin_open; read what it answers with sandbox_exec_get. ' +
    'When the outcome is unknown, look at the output before typing again.',
  annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
  isKeyed: false,
  inputSchema: INPUT,
  outputSchema: objectOf({
    sandbox_id: text('The sandbox.'),
    exec_id: text('The command.'),
    ended: flag('No more can be typed.'),
  }),
  async run(given, run) {
    await checkInput(INPUT, given);
    const { id, exec_id: execId, content = '', end = false } = given as unknown as Input;
    const typing = await typingOf(typings, id, execId, run);
    try {
      await typed(typing, content, end, run.signal);
    } catch (fault) {
      typings.delete(execId); // what arrived of it is not known: whoever types next is a new writer
      throw fault;
    }
    if (end) typings.delete(execId);
    return { sandbox_id: id, exec_id: execId, ended: end };
  },
});

export const execTools = (): Tool[] => [inputTool(new Map())];
