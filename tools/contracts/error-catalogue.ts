/**
 * Writes the error catalogue in every form that is not proto: TypeScript, JSON and the reference page.
 * Promise: a code without a rule, a sentence or a suggestion stops the generation.
 */
import { type DescEnumValue, type FileRegistry, getOption, type Message } from '@bufbuild/protobuf';

/** One code; `code` is its name in TypeScript, in upper case. */
export interface CatalogueEntry {
  code: string;
  family: string;
  httpStatus: number;
  sentence: string;
  suggestion: string;
  facts: string[];
}

interface Rule extends Message {
  family: number;
  sentence: string;
  suggestion: string;
  facts: string[];
}

/** HTTP status of each family; the number stands in the enum's comments as well, and a test compares them. */
const STATUS_OF_FAMILY: Record<string, number> = {
  INVALID: 400,
  UNAUTHENTICATED: 401,
  PAYMENT_REQUIRED: 402,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  REFUSED: 422,
  LIMITED: 429,
  BUG: 500,
  UNAVAILABLE: 503,
};

const wireCode = (code: string): string => code.toLowerCase();

function entryOf(value: DescEnumValue, rule: Rule, family: string | undefined): CatalogueEntry {
  const code = value.name.replace('ERROR_CODE_', '');
  const httpStatus = STATUS_OF_FAMILY[family ?? ''];
  if (!family || !httpStatus || !rule.sentence || !rule.suggestion)
    throw new Error(`${value.name} needs a family, a sentence and a suggestion`);
  return { code, family, httpStatus, sentence: rule.sentence, suggestion: rule.suggestion, facts: rule.facts };
}

/** @errors throws when a code has no complete rule. */
export function readCatalogue(image: FileRegistry): CatalogueEntry[] {
  const codes = image.getEnum('tallystick.errors.v1.ErrorCode');
  const families = image.getEnum('tallystick.errors.v1.Family');
  const extension = image.getExtension('tallystick.errors.v1.rule');
  if (!codes || !families || !extension) throw new Error('tallystick/errors/v1/errors.proto is missing');
  return codes.values
    .filter((value) => value.number !== 0)
    .map((value) => {
      const rule = getOption(value, extension) as unknown as Rule;
      return entryOf(value, rule, families.value[rule.family]?.name.replace('FAMILY_', ''));
    });
}

export const printJson = (entries: CatalogueEntry[]): string =>
  `${JSON.stringify(Object.fromEntries(entries.map(({ code, ...rest }) => [wireCode(code), rest])), null, 1)}\n`;

export function printModule(entries: CatalogueEntry[]): string {
  const families = [...new Set(entries.map((entry) => entry.family))];
  const union = (words: string[]) => words.map((word) => `\n  | '${word}'`).join('');
  const rows = entries.map(({ code, ...rest }) => `  ${code}: ${JSON.stringify(rest)},`);
  return `/**
 * The error catalogue of tallystick/errors/v1/errors.proto as values. Written by \`npm run gen\`; do not edit.
 * Promise: every code of the proto file stands here once, and nothing else.
 */
export type ErrorFamily =${union(families)};

/** A code; the wire spells it in lower case. */
export type ErrorCodeName =${union(entries.map((entry) => entry.code))};

/** What is fixed about a code. \`facts\` names the members its problem body may carry. */
export interface ErrorEntry {
  readonly family: ErrorFamily;
  readonly httpStatus: number;
  readonly sentence: string;
  readonly suggestion: string;
  readonly facts: readonly string[];
}

export const ERROR_CATALOGUE: Readonly<Record<ErrorCodeName, ErrorEntry>> = {
${rows.join('\n')}
};

export const isErrorCode = (text: string): text is ErrorCodeName => Object.hasOwn(ERROR_CATALOGUE, text);

/** The code as it stands in a problem body. */
export const wireCode = (code: ErrorCodeName): string => code.toLowerCase();

/** The code behind the wire's spelling; undefined for a spelling this build does not know. */
export function codeFromWire(text: string): ErrorCodeName | undefined {
  const code = text.toUpperCase();
  return isErrorCode(code) && wireCode(code) === text ? code : undefined;
}
`;
}

/** docs/reference/errors.md */
export function printPage(entries: CatalogueEntry[]): string {
  const rows = entries.map((entry) => {
    const facts = entry.facts.map((fact) => `\`${fact}\``).join(', ');
    return `| \`${wireCode(entry.code)}\` | ${entry.family} | ${entry.httpStatus} | ${entry.sentence} | ${entry.suggestion} | ${facts} |`;
  });
  return `# Errors

Written by \`npm run gen\` from proto/tallystick/errors/v1/errors.proto; do not edit. Every refusal is an RFC 9457
problem (\`application/problem+json\`) with \`type\`, \`title\`, \`status\`, \`code\`, \`detail\`, \`suggestion\`, \`trace_id\`, the facts
below and, for \`invalid_request\`, \`errors\`: every violation with its RFC 6901 pointer. A fact named like a member of RFC
9457 is spelled \`current_<name>\`.

| code | family | HTTP | what happened | what to do | facts |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}
