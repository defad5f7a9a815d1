/**
 * Operations by the name of their tool, for callers that learn at run time what there is.
 * Promise: values are spelled as the platform's REST answers are; one call is one command, however often it was sent.
 */
import type { JsonObject } from '@tallystick/kernel';
import { createToolClient, type ToolClient } from '@tallystick/surface/client';
import { type Keyed, keyOf } from './ids.ts';
import { ALL_SERVICES, type Connection, clientOptions } from './services.ts';

export interface ToolCallOptions extends Keyed {
  signal?: AbortSignal;
  /** Called when the platform told its first answer to this key again. */
  onReplayed?: () => void;
}

export interface Tools {
  /**
   * Tools and their schemas stand in `proto/derived/mcp-tools.json`.
   * @errors ApiError; TypeError for a name that is no tool
   * @example await tally.tools.call('job_create', { max_total_spend_micros: 500_000 });
   */
  call(name: string, input: JsonObject, options?: ToolCallOptions): Promise<JsonObject>;
}

/** @internal */
export function toolsOf(connection: Connection): Tools {
  let client: ToolClient | undefined;
  return {
    call(name, input, { key, signal, onReplayed } = {}) {
      client ??= createToolClient(ALL_SERVICES, clientOptions(connection));
      return client.call(name, input, {
        ...keyOf(key === undefined ? {} : { key }),
        ...(signal ? { signal } : {}),
        onHeaders: (headers) => {
          if (headers.get('idempotent-replayed') === 'true') onReplayed?.();
        },
      });
    },
  };
}
