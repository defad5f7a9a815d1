/**
 * Every operation of the contracts that is a tool.
 * Promise: names, schemas, descriptions and hints are the derived ones; nothing about an operation is written here.
 */
import documents from '@tallystick/proto/derived/mcp-tools.json' with { type: 'json' };
import type { JsonObject } from '@tallystick/sdk';
import type { Tool } from './tool.ts';

interface ToolDocument {
  name: string;
  description: string;
  annotations: { readOnlyHint: boolean; destructiveHint: boolean };
  inputSchema: JsonObject;
  outputSchema: JsonObject;
}

/** As the contracts declare them, in the order in which people read about them. */
export function platformTools(): Tool[] {
  return (documents as unknown as ToolDocument[]).map(({ annotations, ...document }) => ({
    ...document,
    // the derived hint speaks of a repeat under the same key; a client repeats under a fresh one
    annotations: { ...annotations, idempotentHint: annotations.readOnlyHint },
    isKeyed: !annotations.readOnlyHint,
    run: async (input, { connect, key, signal, onReplayed }) =>
      (await connect()).tools.call(document.name, input, { key, signal, onReplayed }),
  }));
}
