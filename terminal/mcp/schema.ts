/**
 * Schemas of the tools whose work this terminal does itself, and the check of what they are given.
 * Promise: input is checked by the very schema that clients are shown; every violation is told with its pointer.
 */
import type { JsonObject } from '@tallystick/sdk';
import { invalid, type Violation } from './problem.ts';

/** An object with exactly these members. */
export const objectOf = (properties: Record<string, JsonObject>, required = Object.keys(properties)): JsonObject => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});

export const text = (description: string, more: JsonObject = {}): JsonObject => ({
  description,
  type: 'string',
  ...more,
});
export const count = (description: string): JsonObject => ({ description, type: 'integer', minimum: 0 });
export const part = (description: string, maximum: number): JsonObject => ({
  description,
  type: 'integer',
  minimum: 1,
  maximum,
});
export const flag = (description: string): JsonObject => ({ description, type: 'boolean' });

/** How the validator opens a violation: the place, then what is wrong. */
const PLACED = /^data(\/\S*)? (.*)$/s;
const NEXT_VIOLATION = /, (?=data[/ ])/;
/** The validator does not say which; told by name instead. */
const UNKNOWN_MEMBER = /must NOT have additional properties$/;

/** @errors ApiError `invalid_request` with every violation */
export async function checkInput(schema: JsonObject, input: JsonObject): Promise<void> {
  // here, so that the first answer does not wait for it
  const { AjvJsonSchemaValidator } = await import('@modelcontextprotocol/server/validators/ajv');
  const { valid, errorMessage } = new AjvJsonSchemaValidator().getValidator(schema)(input);
  if (valid) return;
  const lines = (errorMessage ?? '').split(NEXT_VIOLATION).filter((line) => !UNKNOWN_MEMBER.test(line));
  throw invalid([...unknownMembers(schema, input), ...lines.map(violationOf)]);
}

const unknownMembers = (schema: JsonObject, input: JsonObject): Violation[] =>
  Object.keys(input)
    .filter((name) => !Object.hasOwn(schema['properties'] as JsonObject, name))
    .map((name) => ({
      pointer: `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      detail: 'unknown field',
      rule: 'json.unknown',
    }));

function violationOf(line: string): Violation {
  const [, pointer = '', detail = line] = PLACED.exec(line) ?? [];
  return { pointer, detail, rule: 'json.schema' };
}
