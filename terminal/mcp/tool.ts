/**
 * What a tool is, whether the platform or this terminal does its work.
 * Promise: input and output have a schema, and a tool that changes something gets a key under which it can be repeated.
 */
import type { JsonObject, Tally } from '@tallystick/sdk';

/** What a running tool has. */
export interface ToolRun {
  /** With the login as it is now. @errors ApiError `credential_missing` */
  connect(): Promise<Tally>;
  /** Where relative paths begin. */
  folder: string;
  /** Idempotency key of this call. */
  key: string;
  /** Aborts when the client cancels the call. */
  signal: AbortSignal;
  /** The platform told its first answer to this key again. */
  onReplayed(): void;
}

/** What a client may assume about a tool. */
export interface ToolHints {
  /** Changes nothing on the platform and nothing here. */
  readOnlyHint: boolean;
  /** Ends or removes something. */
  destructiveHint: boolean;
  /** A repeat without a key of its own has no further effect. */
  idempotentHint: boolean;
}

export interface Tool {
  name: string;
  description: string;
  annotations: ToolHints;
  /** JSON Schema 2020-12 of an object; without `idempotency_key`, which the server adds. */
  inputSchema: JsonObject;
  outputSchema: JsonObject;
  /** Takes an idempotency key. */
  isKeyed: boolean;
  /** @errors ApiError, and what `problemOf` knows */
  run(input: JsonObject, run: ToolRun): Promise<JsonObject>;
}
