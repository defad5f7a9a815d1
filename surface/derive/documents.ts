/**
 * Everything that is derived from the operations and worth reading in a diff.
 * Promise: contract.lock shows what `buf breaking` does not watch: routes, scopes, tools, raw bodies and rules.
 */
import { type DescMessage, getOption, hasOption, toJson } from '@bufbuild/protobuf';
import {
  FieldRulesSchema,
  field as fieldRulesOption,
  message as messageRulesOption,
} from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import type { JsonObject } from '@tallystick/kernel';
import type { Operation } from '../contract.ts';
import { type Comment, inlineSchema } from '../json-schema.ts';

export function toolDocuments(operations: readonly Operation[], comment: Comment): JsonObject[] {
  return operations.flatMap(({ tool, method, name, isReadOnly }) => {
    if (!tool) return [];
    return [
      {
        name: tool.name,
        description: comment(name) ?? name,
        annotations: { readOnlyHint: isReadOnly, destructiveHint: tool.destructive, idempotentHint: true },
        inputSchema: inlineSchema(method.input, 'request', comment),
        outputSchema: inlineSchema(method.output, 'answer', comment),
      },
    ];
  });
}

/** Sorted lines, one per fact. */
export function contractLock(operations: readonly Operation[]): string {
  const lines = operations.flatMap(operationLines);
  const messages = new Set(operations.map(({ method }) => method.input));
  return `${[...lines, ...[...messages].flatMap(ruleLines)].sort().join('\n')}\n`;
}

function operationLines(operation: Operation): string[] {
  const { name, routes, isPublic, scopes, tool, rawRequest, rawResponseType } = operation;
  return [
    ...routes.map(({ verb, template }) => `route ${verb} ${template} -> ${name}`),
    `auth ${name} ${isPublic ? 'public' : scopes.join(' ')}`,
    ...(tool ? [`tool ${tool.name}${tool.destructive ? ' destructive' : ''} -> ${name}`] : []),
    ...(rawRequest ? [`raw request ${name}`] : []),
    ...(rawResponseType === undefined ? [] : [`raw response ${name} ${rawResponseType}`]),
  ];
}

function ruleLines(type: DescMessage): string[] {
  const across = hasOption(type, messageRulesOption) ? getOption(type, messageRulesOption).cel : [];
  const fields = type.fields.filter((field) => hasOption(field, fieldRulesOption));
  return [
    ...across.map(({ id, expression }) => `cel ${type.typeName} ${id} ${expression}`),
    ...fields.map((field) => {
      const rules = toJson(FieldRulesSchema, getOption(field, fieldRulesOption));
      return `rule ${type.typeName}.${field.name} ${JSON.stringify(rules)}`;
    }),
  ];
}

/** Words after `tally`, by `Service.Method`. */
export type Commands = Readonly<Record<string, string>>;

/** docs/reference/api.md */
export function apiPage(operations: readonly Operation[], comment: Comment, commands: Commands): string {
  const services = [...new Set(operations.map(({ method }) => method.parent))];
  const sections = services.map((service) => {
    const own = operations.filter(({ method }) => method.parent === service);
    const rows = own.flatMap((operation) =>
      operation.routes.map((route) => apiRow(operation, `${route.verb} ${route.template}`, comment, commands)),
    );
    return `## ${service.name.replace(/Service$/, '')}\n\n${comment(service.typeName) ?? ''}\n\n| route | scopes | command | tool | what |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`;
  });
  return `# API\n\nWritten by \`npm run gen\` from the proto files; do not edit. The machine-readable form is proto/derived/openapi.json, served\nat \`/openapi.json\`. Every mutation that is not public needs an \`Idempotency-Key\`.\n\n${sections.join('\n')}`;
}

function apiRow(
  { name, method, isPublic, scopes, tool }: Operation,
  route: string,
  comment: Comment,
  commands: Commands,
): string {
  const words = commands[`${method.parent.name}.${method.name}`];
  const command = words === undefined ? '' : `\`tally ${words}\``;
  const toolName = tool ? `\`${tool.name}\`` : '';
  return `| \`${route}\` | ${isPublic ? 'public' : scopes.join(' ')} | ${command} | ${toolName} | ${comment(name) ?? ''} |`;
}

/** proto/vectors/scopes-by-method.txt: one line per method, one column per scope. */
export function scopesByMethod(operations: readonly Operation[]): string {
  const width = Math.max(...operations.map(({ name }) => name.length));
  const rows = operations.map(({ name, isPublic, scopes, isReadOnly }) => {
    const access = isPublic ? 'public' : scopes.join(' ');
    return `${name.padEnd(width)}  ${isReadOnly ? 'read ' : 'write'}  ${access}`;
  });
  return `${rows.sort().join('\n')}\n`;
}
