/**
 * How far a sandbox may reach out: the modes, the rules of an allowlist, and what matches them.
 * Promise: pure; nothing is allowed that no rule names, and a rule has one reading for the platform and for the machine.
 */
import { type Address, type AddressRange, formatRange, isInRange, parseAddress, parseRange } from './address.ts';

export { type Address, type AddressRange, formatAddress, isInRange, parseAddress, parseRange } from './address.ts';
export { METADATA, refusedReason, unmapped } from './egress-ranges.ts';

/** `none`: its own loopback; `allowlist`: what its rules name, by way of the machine's broker; `open`: anything. */
export type EgressMode = 'none' | 'allowlist' | 'open';

export const EGRESS_MODES: readonly EgressMode[] = ['none', 'allowlist', 'open'];
/** Rules of one allowlist, and characters of one rule. */
export const EGRESS_RULES_MAX = 64;
export const EGRESS_RULE_CHARS_MAX = 320;
const HOST_CHARS_MAX = 253;
const PORTS_MAX = 16;
const PORT_MAX = 65_535;
const PORT_DEFAULT = 443;

interface PortRange {
  first: number;
  last: number;
}

export interface EgressRule {
  /** The one spelling of the rule. */
  text: string;
  /** A name, a name's whole subtree (`*.` before it), or addresses. */
  host: { name: string } | { below: string } | { range: AddressRange };
  ports: PortRange[];
}

/** Where somebody wants to go; `host` is a name in lower case without a final dot, or an address. */
export interface EgressTarget {
  host: string;
  port: number;
}

const LABEL = '(?!-)[a-z0-9_-]{1,63}(?<!-)';
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
/** What a browser would read as an IPv4 address is no name. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;
const PORTS = /^[1-9][0-9]{0,4}(?:-[1-9][0-9]{0,4})?$/;

/** A host name as it is looked up: lower case, ASCII, without a final dot. */
export const isHostName = (text: string): boolean =>
  text.length <= HOST_CHARS_MAX && NAME.test(text) && !ENDS_IN_NUMBER.test(text);

function portsOf(text: string): PortRange[] | undefined {
  if (text === '*') return [{ first: 1, last: PORT_MAX }];
  const parts = text.split(',');
  if (parts.length > PORTS_MAX || !parts.every((part) => PORTS.test(part))) return undefined;
  const ranges = parts.map((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return { first, last };
  });
  const areGood = ranges.every(({ first, last }) => first <= last && last <= PORT_MAX);
  return areGood ? ranges.sort((a, b) => a.first - b.first) : undefined;
}

function portsText(ports: PortRange[]): string {
  if (ports.some(({ first, last }) => first === 1 && last === PORT_MAX)) return '*';
  return ports.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

function hostOf(text: string): EgressRule['host'] | undefined {
  const isBracketed = text.startsWith('[') && text.endsWith(']');
  const range = parseRange(isBracketed ? text.slice(1, -1) : text);
  if (range) return isBracketed === (range.family === 6) ? { range } : undefined;
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name.startsWith('*.')) return isHostName(name.slice(2)) ? { below: name.slice(2) } : undefined;
  return isHostName(name) ? { name } : undefined;
}

function hostText(host: EgressRule['host']): string {
  if ('name' in host) return host.name;
  if ('below' in host) return `*.${host.below}`;
  return host.range.family === 6 ? `[${formatRange(host.range)}]` : formatRange(host.range);
}

/** Host and ports of a rule's text; a colon inside brackets parts nothing. */
function split(text: string): { host: string; ports: string } {
  const colon = text.lastIndexOf(':');
  const isPort = colon > text.lastIndexOf(']');
  return isPort && colon >= 0
    ? { host: text.slice(0, colon), ports: text.slice(colon + 1) }
    : { host: text, ports: String(PORT_DEFAULT) };
}

/**
 * Reads `host:ports`. The host is a name, `*.name` for all names below it, an IPv4 address or range (`192.0.2.0/24`), or
 * an IPv6 one in brackets; ports are `*` or a list like `443,8000-8010`, 443 when absent.
 */
export function readEgressRule(text: string): EgressRule | { error: string } {
  if (text.length > EGRESS_RULE_CHARS_MAX) return { error: `longer than ${EGRESS_RULE_CHARS_MAX} characters` };
  if (text.includes('://')) return { error: 'it is host:ports, without a scheme and a path' };
  const { host: hostPart, ports: portsPart } = split(text.trim());
  const host = hostOf(hostPart);
  if (!host) return { error: 'its host must be a name, *.name, an IPv4 address or range, or an IPv6 one in brackets' };
  const ports = portsOf(portsPart);
  if (!ports) return { error: `its ports must be * or at most ${PORTS_MAX} of 1 to ${PORT_MAX}, like 443,8000-8010` };
  return { text: `${hostText(host)}:${portsText(ports)}`, host, ports };
}

/** All rules, or what is wrong with the first bad one. */
export function readEgressRules(texts: readonly string[]): EgressRule[] | { error: string; rule: string } {
  if (texts.length > EGRESS_RULES_MAX) return { error: `at most ${EGRESS_RULES_MAX} rules`, rule: '' };
  const rules: EgressRule[] = [];
  for (const text of texts) {
    const rule = readEgressRule(text);
    if ('error' in rule) return { error: rule.error, rule: text.slice(0, EGRESS_RULE_CHARS_MAX) };
    if (!rules.some((one) => one.text === rule.text)) rules.push(rule);
  }
  return rules;
}

function matchesHost(host: EgressRule['host'], name: string, address: Address | undefined): boolean {
  if ('range' in host) return address !== undefined && isInRange(host.range, address);
  if (address !== undefined) return false;
  return 'name' in host ? name === host.name : name.endsWith(`.${host.below}`);
}

/**
 * The first rule that names the target. A rule of addresses matches a target that is an address and no name: otherwise
 * every name would have to be looked up, and a look-up is a way out by itself.
 */
export function egressRuleFor(rules: readonly EgressRule[], { host, port }: EgressTarget): EgressRule | undefined {
  const address = parseAddress(host);
  return rules.find(
    (rule) =>
      rule.ports.some(({ first, last }) => port >= first && port <= last) && matchesHost(rule.host, host, address),
  );
}
