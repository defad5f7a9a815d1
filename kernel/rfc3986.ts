/**
 * The parts of RFC 3986 that a sign-in message is made of.
 * Promise: exactly the grammar's texts are accepted, without normalising anything.
 */

const UNRESERVED = 'A-Za-z0-9\\-._~';
const SUB_DELIMS = "!$&'()*+,;=";
const PERCENT = '%[0-9A-Fa-f]{2}';
const PCHAR = `(?:[${UNRESERVED}${SUB_DELIMS}:@]|${PERCENT})`;

const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const IPV4 = `(?:${OCTET}\\.){3}${OCTET}`;
const H16 = '[0-9A-Fa-f]{1,4}';
const LS32 = `(?:${H16}:${H16}|${IPV4})`;

/** `::` stands for at least one group: at most n groups before it, and what must follow. */
const IPV6 = [
  `(?:${H16}:){6}${LS32}`,
  `::(?:${H16}:){5}${LS32}`,
  `(?:${H16})?::(?:${H16}:){4}${LS32}`,
  `(?:(?:${H16}:){0,1}${H16})?::(?:${H16}:){3}${LS32}`,
  `(?:(?:${H16}:){0,2}${H16})?::(?:${H16}:){2}${LS32}`,
  `(?:(?:${H16}:){0,3}${H16})?::${H16}:${LS32}`,
  `(?:(?:${H16}:){0,4}${H16})?::${LS32}`,
  `(?:(?:${H16}:){0,5}${H16})?::${H16}`,
  `(?:(?:${H16}:){0,6}${H16})?::`,
].join('|');

const IP_LITERAL = `\\[(?:${IPV6}|[vV][0-9A-Fa-f]+\\.[${UNRESERVED}${SUB_DELIMS}:]+)\\]`;
const REG_NAME = `(?:[${UNRESERVED}${SUB_DELIMS}]|${PERCENT})`;
const USERINFO = `(?:[${UNRESERVED}${SUB_DELIMS}:]|${PERCENT})*`;

const authority = (host: string): string => `(?:${USERINFO}@)?(?:${IP_LITERAL}|${host})(?::[0-9]*)?`;
const PATH_ROOTED = `/(?:${PCHAR}+(?:/${PCHAR}*)*)?`;
const HIER_PART = `(?://${authority(`${REG_NAME}*`)}(?:/${PCHAR}*)*|${PATH_ROOTED}|${PCHAR}+(?:/${PCHAR}*)*|)`;
const QUERY = `(?:${PCHAR}|[/?])*`;

const AUTHORITY = new RegExp(`^${authority(`${REG_NAME}+`)}$`);
const URI = new RegExp(`^[A-Za-z][A-Za-z0-9+.-]*:${HIER_PART}(?:\\?${QUERY})?(?:#${QUERY})?$`);
const REQUEST_ID = new RegExp(`^${PCHAR}*$`);

/** An authority whose host is not empty: `example.com`, `me@127.0.0.1:80`, `[::1]`. */
export const isAuthority = (text: string): boolean => AUTHORITY.test(text);

/** A URI with a scheme. */
export const isUri = (text: string): boolean => URI.test(text);

/** Any number of `pchar`. */
export const isRequestId = (text: string): boolean => REQUEST_ID.test(text);
