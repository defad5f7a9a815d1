/** Commands, tools and operations of the contracts, held to each other. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { COMMAND_BY_OPERATION, commandNames, OPERATIONS_WITHOUT_COMMAND } from './commands/by-operation.ts';
import { processIo } from './io.ts';
import { OPERATIONS_WITHOUT_TOOL } from './mcp/by-operation.ts';
import { allTools } from './mcp/server.ts';
import { createProgram } from './program.ts';

const root = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** `JobService.CreateJob` and the name of its tool, if the contracts give it one. */
async function operations(): Promise<Map<string, string | undefined>> {
  const lock = await readFile(root('proto/derived/contract.lock'), 'utf8');
  const short = (name: string): string => name.split('.').slice(-2).join('.');
  const names = [...lock.matchAll(/^auth (\S+)/gm)].map((match) => short(match[1]!));
  const tools = [...lock.matchAll(/^tool (\S+)(?: destructive)? -> (\S+)$/gm)];
  const toolOf = new Map(tools.map((match) => [short(match[2]!), match[1]!]));
  return new Map(names.map((name) => [name, toolOf.get(name)]));
}

const program = createProgram({ io: processIo(), exitCode: 0, isJson: false });

test('every command that the API reference names exists', async () => {
  const real = new Set(commandNames(program));
  for (const [operation, command] of Object.entries(COMMAND_BY_OPERATION))
    assert.ok(real.has(command), `${operation}: there is no tally ${command}`);
  const page = await readFile(root('docs/reference/api.md'), 'utf8');
  const named = [...page.matchAll(/`tally ([^`]+)`/g)].map((match) => match[1]!);
  assert.ok(named.length > 30);
  for (const command of named) assert.ok(real.has(command), `docs/reference/api.md: there is no tally ${command}`);
});

test('every operation has a command or a reason for having none', async () => {
  const all = await operations();
  for (const name of all.keys()) {
    const [command, reason] = [COMMAND_BY_OPERATION[name], OPERATIONS_WITHOUT_COMMAND[name]];
    assert.equal([command, reason].filter(Boolean).length, 1, `${name}: name its command in commands/by-operation.ts`);
  }
  for (const name of [...Object.keys(COMMAND_BY_OPERATION), ...Object.keys(OPERATIONS_WITHOUT_COMMAND)])
    assert.ok(all.has(name), `${name} is no operation`);
});

test('every operation is a tool, or has one that does its work here, or a reason for having none', async () => {
  const all = await operations();
  const tools = new Set(allTools().map(({ name }) => name));
  for (const [name, tool] of all) {
    const exception = OPERATIONS_WITHOUT_TOOL[name];
    if (tool !== undefined) assert.ok(tools.has(tool) && exception === undefined, `${name}: ${tool}`);
    else assert.ok(exception, `${name} is no tool: give it one, or a reason in mcp/by-operation.ts`);
    if (exception && 'instead' in exception)
      assert.ok(tools.has(exception.instead), `${name}: no tool ${exception.instead}`);
  }
  for (const name of Object.keys(OPERATIONS_WITHOUT_TOOL)) assert.ok(all.has(name), `${name} is no operation`);
});
