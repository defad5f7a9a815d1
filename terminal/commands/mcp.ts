/**
 * `tally mcp`: the platform as tools for agents that speak the Model Context Protocol.
 * Promise: standard output carries the protocol and nothing else; a missing login is told by the tools, not by an exit.
 */
import type { Command } from 'commander';
import { addCommand, onRun, type World } from './command.ts';

export function addMcpCommand(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'mcp',
    summary: 'serve every operation as a tool of the Model Context Protocol, on standard input and output',
    examples: ['tally mcp', 'TALLY_URL=http://127.0.0.1:8080 TALLY_API_KEY=tly_… tally mcp'],
  });
  onRun(world, command, async ({ io, url }) => {
    // here, so that no other command waits for the protocol to load
    const { serveMcp } = await import('../mcp/server.ts');
    await serveMcp(io, url);
  });
}
