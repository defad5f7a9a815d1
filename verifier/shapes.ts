/**
 * Strict reading of the lines of an export and of the receipts in them.
 * Promise: what is returned has every member of its type, of the right kind, and no other; its text was canonical.
 */
import {
  EXPORT_END_TYPE,
  EXPORT_LEASE_KEYS_MAX,
  EXPORT_PROOF_HASHES_MAX,
  EXPORT_SCHEMA,
  EXPORT_TYPE,
  type ExportEnd,
  type ExportHeader,
  type ExportReceipt,
  type ExportTicket,
  type Json,
  type JsonObject,
  jcs,
  parseStrict,
  RECEIPT_SCHEMA,
  RECEIPT_TYPE,
  type Receipt,
} from '@tallystick/kernel';

export type ExportLine =
  | { kind: 'header'; header: ExportHeader }
  | { kind: 'receipt'; receipt: ExportReceipt }
  | { kind: 'ticket'; ticket: ExportTicket }
  | { kind: 'end'; end: ExportEnd };

type Check = (value: Json) => boolean;
type Shape = { [member: string]: Check };

const isText: Check = (value) => typeof value === 'string';
const isTextOrNull: Check = (value) => value === null || isText(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const isCount: Check = (value) => typeof value === 'number' && value >= 0;
const isSeq: Check = (value) => typeof value === 'number' && value >= 1;
const isDecimal: Check = (value) => typeof value === 'string' && /^(?:0|[1-9][0-9]{0,18})$/.test(value);
const isHash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isHashOrEmpty: Check = (value) => value === '' || isHash(value);
const isSalt: Check = (value) => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
const isList: Check = (value) => Array.isArray(value);
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isObjectOrNull: Check = (value) => value === null || isObject(value);
const is = (wanted: Json): Check => {
  return (value) => value === wanted;
};
const oneOf = (...words: string[]): Check => {
  return (value) => typeof value === 'string' && words.includes(value);
};
const objectOf = (shape: Shape): Check => {
  return (value) => isObject(value) && misfit(value, shape) === undefined;
};
const listOf = (check: Check, countMax = Number.MAX_SAFE_INTEGER): Check => {
  return (value) => Array.isArray(value) && value.length <= countMax && value.every(check);
};
const mapOf = (check: Check): Check => {
  return (value) => isObject(value) && Object.values(value).every(check);
};
const orNull = (check: Check): Check => {
  return (value) => value === null || check(value);
};

const HEADER: Shape = {
  type: is(EXPORT_TYPE),
  schema: is(EXPORT_SCHEMA),
  origin: isText,
  log_verifier: isText,
  checkpoint: isText,
  size: isCount,
  lease_keys: listOf(objectOf({ keyid: isText, public_key: isText }), EXPORT_LEASE_KEYS_MAX),
  owner: isTextOrNull,
  policy: objectOf({ version: isText, hash: isHash }),
  exported_at_us: isDecimal,
};

const RECEIPT_LINE: Shape = { pos: isCount, receipt: isText, proof: listOf(isText, EXPORT_PROOF_HASHES_MAX) };

const TICKET_LINE: Shape = {
  ticket: objectOf({
    payloadType: isText,
    payload: isText,
    signatures: listOf(objectOf({ keyid: isText, sig: isText }), EXPORT_LEASE_KEYS_MAX),
  }),
};

const END: Shape = {
  type: is(EXPORT_END_TYPE),
  receipts: isCount,
  tickets: isCount,
  header_sha256: isHash,
  sha256: isHash,
};

const isAsset = oneOf('usd', 'cap', 'slot');
const POSTING: Shape = {
  kind: oneOf('posted', 'pending', 'post', 'void'),
  asset: isAsset,
  debit: isText,
  credit: isText,
  amount_micros: isDecimal,
  hold: orNull(objectOf({ pos: isCount, ord: isCount })),
  expires_us: orNull(isDecimal),
};

const RECEIPT: Shape = {
  type: is(RECEIPT_TYPE),
  schema: is(RECEIPT_SCHEMA),
  issuer: isText,
  stream: isText,
  seq: isSeq,
  prev: isHashOrEmpty,
  owner: isTextOrNull,
  command: objectOf({ id: isText, actor: isText, grant: isText, type: isText, body: isObject, hash: isHash }),
  seen: objectOf({ streams: mapOf(isCount), accounts: mapOf(isTextOrNull) }),
  decision: objectOf({
    from: isCount,
    to: isCount,
    state_hash: isHash,
    rejection: isTextOrNull,
    facts: isObjectOrNull,
  }),
  events: listOf(objectOf({ type: isText, body: isObject })),
  accounts: listOf(objectOf({ account: isText, asset: isAsset, no_overdraft: isFlag })),
  postings: listOf(objectOf(POSTING)),
  evidence: isList,
  policy: objectOf({ hash: isHash, rule: isText }),
  at_us: isDecimal,
  salt: isSalt,
};

/** @errors throws SyntaxError or TypeError saying what is wrong with the line */
export function readExportLine(text: string): ExportLine {
  const value = readCanonical(text);
  if (!isObject(value)) throw new TypeError('the line is no object');
  if ('receipt' in value) return { kind: 'receipt', receipt: fit<ExportReceipt>(value, RECEIPT_LINE) };
  if ('ticket' in value) return { kind: 'ticket', ticket: fit<ExportTicket>(value, TICKET_LINE) };
  if (value['type'] === EXPORT_TYPE) return { kind: 'header', header: fit<ExportHeader>(value, HEADER) };
  if (value['type'] === EXPORT_END_TYPE) return { kind: 'end', end: fit<ExportEnd>(value, END) };
  throw new TypeError('the line is no header, receipt, ticket or end');
}

/** @errors throws SyntaxError or TypeError saying what is wrong with the receipt */
export function readReceipt(text: string): Receipt {
  const value = readCanonical(text);
  if (!isObject(value)) throw new TypeError('the receipt is no object');
  return fit<Receipt>(value, RECEIPT);
}

/** One pass: text that equals its own canonical form hides no duplicate key and no rounded number. */
function readCanonical(text: string): Json {
  let value: Json;
  try {
    value = JSON.parse(text);
    if (jcs(value) === text) return value;
  } catch {
    value = parseStrict(text); // says what and at which offset
  }
  parseStrict(text);
  throw new SyntaxError(`not canonical, offset ${firstDifference(text, jcs(value))}`);
}

function firstDifference(text: string, canonical: string): number {
  let at = 0;
  while (at < text.length && text[at] === canonical[at]) at++;
  return at;
}

function fit<T>(value: JsonObject, shape: Shape): T {
  const what = misfit(value, shape);
  if (what !== undefined) throw new TypeError(what);
  return value as unknown as T;
}

function misfit(value: JsonObject, shape: Shape): string | undefined {
  let known = 0;
  for (const member in shape) {
    if (!Object.hasOwn(value, member)) return `${member} is missing`;
    if (!shape[member]!(value[member] as Json)) return `${member} is malformed`;
    known++;
  }
  if (Object.keys(value).length === known) return undefined;
  return `${Object.keys(value).find((member) => !Object.hasOwn(shape, member))} is unknown`;
}
