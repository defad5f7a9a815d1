/**
 * Sign-In with Ethereum: the message of EIP-4361, read and written by its grammar.
 * Promise: every byte of an accepted text is explained by its fields, so nothing can be signed beside what is trusted.
 */
import { checksumAddress } from './ethereum.ts';
import { timeMsOf } from './rfc3339.ts';
import { isAuthority, isRequestId, isUri } from './rfc3986.ts';

export const SIWE_CHARS_MAX = 8_192;
export const SIWE_NONCE_CHARS_MIN = 8;
export const SIWE_RESOURCES_MAX = 64;

export interface SiweMessage {
  /** Scheme of the origin that asks, such as `https`. */
  scheme?: string;
  /** RFC 3986 authority that asks. */
  domain: string;
  /** EIP-55 form. */
  address: string;
  statement?: string;
  uri: string;
  version: '1';
  chainId: number;
  nonce: string;
  /** RFC 3339 texts; `timeMsOf` reads them. */
  issuedAt: string;
  expirationTime?: string;
  notBefore?: string;
  requestId?: string;
  resources?: string[];
}

const HEADER = /^(?:([A-Za-z][A-Za-z0-9+.-]*):\/\/)?([^\s/?#]+) wants you to sign in with your Ethereum account:$/;
const STATEMENT = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;= ]+$/;
const NONCE = /^[A-Za-z0-9]{8,}$/;
const CHAIN_ID = /^(?:0|[1-9][0-9]{0,15})$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

/** A member of the message, how its line begins, and what it may be. Order is the order of lines. */
const REQUIRED = [
  ['uri', 'URI: ', isUri],
  ['version', 'Version: ', (text: string) => text === '1'],
  ['chainId', 'Chain ID: ', (text: string) => CHAIN_ID.test(text) && Number.isSafeInteger(Number(text))],
  ['nonce', 'Nonce: ', (text: string) => NONCE.test(text)],
  ['issuedAt', 'Issued At: ', isTime],
] as const;
const OPTIONAL = [
  ['expirationTime', 'Expiration Time: ', isTime],
  ['notBefore', 'Not Before: ', isTime],
  ['requestId', 'Request ID: ', isRequestId],
] as const;

class Refusal extends Error {}

/**
 * The fields of a message, or why it is none.
 * @source EIP-4361, ABNF message format
 */
export function parseSiwe(text: string): SiweMessage | { error: string } {
  try {
    if (text.length > SIWE_CHARS_MAX) throw new Refusal(`longer than ${SIWE_CHARS_MAX} characters`);
    const message = readLines(text.split('\n'));
    if (writeLines(message) !== text) throw new Refusal('the text is not what its fields say');
    return message;
  } catch (error) {
    if (error instanceof Refusal) return { error: error.message };
    throw error;
  }
}

/**
 * The text to sign.
 * @errors throws TypeError when the fields do not make a message
 */
export function formatSiwe(fields: SiweMessage): string {
  const text = writeLines(fields);
  const parsed = parseSiwe(text);
  if ('error' in parsed) throw new TypeError(`no sign-in message: ${parsed.error}`);
  if (!isSameMessage(parsed, fields)) throw new TypeError('no sign-in message: a field holds more than one line');
  return text;
}

function readLines(lines: string[]): SiweMessage {
  const header = HEADER.exec(lines.shift() ?? '');
  const [, scheme, domain = ''] = header ?? [];
  if (!header || !isAuthority(domain)) throw new Refusal('the first line names no domain');
  const address = readAddress(lines.shift());
  const statement = readStatement(lines);
  const fields: Record<string, string> = {};
  for (const [member, label, isValid] of REQUIRED) {
    const value = readField(lines, label, isValid);
    if (value === undefined) throw new Refusal(`the line "${label.trim()}" is missing or out of order`);
    fields[member] = value;
  }
  for (const [member, label, isValid] of OPTIONAL) {
    const value = readField(lines, label, isValid);
    if (value !== undefined) fields[member] = value;
  }
  const resources = readResources(lines);
  if (lines.length > 0) throw new Refusal(`an unexpected line follows: ${JSON.stringify(lines[0]?.slice(0, 80))}`);
  return {
    ...(scheme === undefined ? {} : { scheme }),
    domain,
    address,
    ...(statement === undefined ? {} : { statement }),
    ...(fields as unknown as Omit<SiweMessage, 'domain' | 'address' | 'chainId'>),
    chainId: Number(fields['chainId']),
    ...(resources === undefined ? {} : { resources }),
  };
}

function readAddress(line: string | undefined): string {
  if (line === undefined || !ADDRESS.test(line)) throw new Refusal('the second line is no address');
  if (checksumAddress(line) !== line) throw new Refusal('the address does not fit its EIP-55 checksum');
  return line;
}

function readStatement(lines: string[]): string | undefined {
  if (lines.shift() !== '') throw new Refusal('an empty line after the address is missing');
  const statement = lines.shift();
  if (statement === '') return undefined;
  if (statement === undefined || !STATEMENT.test(statement)) throw new Refusal('the statement is malformed');
  if (lines.shift() !== '') throw new Refusal('an empty line after the statement is missing');
  return statement;
}

function readField(lines: string[], label: string, isValid: (text: string) => boolean): string | undefined {
  if (!lines[0]?.startsWith(label)) return undefined;
  const value = lines.shift()!.slice(label.length);
  if (!isValid(value)) throw new Refusal(`"${label.trim()}" is malformed`);
  return value;
}

function readResources(lines: string[]): string[] | undefined {
  if (lines[0] !== 'Resources:') return undefined;
  lines.shift();
  const resources: string[] = [];
  while (lines[0]?.startsWith('- ')) {
    const resource = lines.shift()!.slice(2);
    if (!isUri(resource)) throw new Refusal('a resource is no URI');
    if (resources.push(resource) > SIWE_RESOURCES_MAX) throw new Refusal(`more than ${SIWE_RESOURCES_MAX} resources`);
  }
  return resources;
}

function writeLines(fields: SiweMessage): string {
  const origin = fields.scheme === undefined ? fields.domain : `${fields.scheme}://${fields.domain}`;
  const lines = [`${origin} wants you to sign in with your Ethereum account:`, fields.address, ''];
  if (fields.statement !== undefined) lines.push(fields.statement);
  lines.push('');
  for (const [member, label] of REQUIRED) lines.push(`${label}${fields[member]}`);
  for (const [member, label] of OPTIONAL) if (fields[member] !== undefined) lines.push(`${label}${fields[member]}`);
  if (fields.resources) lines.push('Resources:', ...fields.resources.map((resource) => `- ${resource}`));
  return lines.join('\n');
}

function isSameMessage(a: SiweMessage, b: SiweMessage): boolean {
  const { resources: aResources, ...aTexts } = a;
  const { resources: bResources, ...bTexts } = b;
  const isSameText = ([member, value]: [string, unknown]): boolean => aTexts[member as keyof typeof aTexts] === value;
  const texts = Object.entries(bTexts).filter(([, value]) => value !== undefined);
  return texts.every(isSameText) && aResources?.join('\n') === bResources?.join('\n');
}

function isTime(text: string): boolean {
  return timeMsOf(text) !== undefined;
}
