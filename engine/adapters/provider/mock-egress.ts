/**
 * Ways out of the mock's sandboxes: the rules are the real ones, and behind them lies nothing.
 * Promise: no socket of this machine is opened; `curl URL` prints what a real machine's broker would answer.
 */
import {
  type EgressMode,
  egressRuleFor,
  parseAddress,
  readEgressRules,
  refusedReason,
  unmapped,
} from '@tallystick/kernel/egress';
import type { MockSandbox } from './mock-sandbox.ts';
import { type Provider, ProviderFault, type SandboxSpec } from './port.ts';
import type { EgressDecision, EgressPolicy } from './port-egress.ts';

export const MOCK_EGRESS: EgressMode[] = ['none', 'allowlist'];
const NONE: EgressPolicy = { serial: 0, mode: 'none', allow: [] };
const PROXY = 'http://127.0.0.1:3128';

interface MockEgress {
  policy: EgressPolicy;
  decisions: EgressDecision[];
}

const held = new WeakMap<MockSandbox, MockEgress>();

/** @errors throws ProviderFault `egress_not_offered` or `invalid` */
function checked({ serial, mode, allow }: EgressPolicy): EgressPolicy {
  if (!MOCK_EGRESS.includes(mode)) {
    const facts = { cap: 'egress', asked: mode, available: MOCK_EGRESS.join(' ') };
    throw new ProviderFault('refused', 'egress_not_offered', `this machine does not offer egress ${mode}`, facts);
  }
  const rules = readEgressRules(allow);
  if (!Array.isArray(rules) || (mode !== 'allowlist' && allow.length > 0))
    throw new ProviderFault('refused', 'invalid', 'the rules do not hold');
  return { serial, mode, allow: rules.map(({ text }) => text) };
}

/** Before a sandbox is made. @errors as for `setEgress` */
export const checkMockEgress = ({ egress }: SandboxSpec): EgressPolicy => checked(egress ?? NONE);

function egressOf(sandbox: MockSandbox): MockEgress {
  const known = held.get(sandbox) ?? { policy: checkMockEgress(sandbox.spec), decisions: [] };
  held.set(sandbox, known);
  return known;
}

export const mockEgressEnv = (sandbox: MockSandbox): Record<string, string> =>
  egressOf(sandbox).policy.mode === 'none' ? {} : { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY };

/** The status that a program inside gets for this address. */
export function mockReach(sandbox: MockSandbox, url: string, nowUs: number): number {
  const { policy, decisions } = egressOf(sandbox);
  if (policy.mode === 'none') return 0;
  const { hostname, port, protocol } = new URL(url);
  const target = {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
  };
  const rules = readEgressRules(policy.allow);
  const rule = Array.isArray(rules) ? egressRuleFor(rules, target) : undefined;
  const address = parseAddress(target.host);
  const refusal = address && refusedReason(unmapped(address));
  const reason = rule ? (refusal ?? 'not_found') : 'no_rule';
  const outcome = rule && !refusal ? 'failed' : 'denied';
  decisions.push({
    seq: decisions.length + 1,
    at_us: nowUs,
    outcome,
    via: 'http',
    ...target,
    address: null,
    rule: rule?.text ?? null,
    reason,
    bytes_out: 0,
    bytes_in: 0,
    count: 1,
  });
  return outcome === 'denied' ? 403 : 502;
}

function viewOf(sandbox: MockSandbox) {
  const { policy, decisions } = egressOf(sandbox);
  const count = (outcome: string): number => decisions.filter((one) => one.outcome === outcome).length;
  const counts = { allowed: count('allowed'), denied: count('denied'), failed: count('failed') };
  return { ...policy, open: 0, ...counts, bytes_out: 0, bytes_in: 0 };
}

export function egressCalls(sandboxOf: (name: string) => MockSandbox) {
  return {
    setEgress: async (name, { incarnation, ...policy }) => {
      const sandbox = sandboxOf(name);
      if (sandbox.ended) throw new ProviderFault('gone', 'sandbox_ended', 'the sandbox has ended', sandbox.ended);
      if (sandbox.spec.incarnation !== incarnation)
        throw new ProviderFault('refused', 'other_incarnation', 'this is another incarnation');
      const egress = egressOf(sandbox);
      const next = checked(policy);
      if (next.serial > egress.policy.serial) egress.policy = next;
      return viewOf(sandbox);
    },
    egress: async (name, after = 0) => {
      const sandbox = sandboxOf(name);
      const all = egressOf(sandbox).decisions;
      const decisions = all.slice(after);
      return {
        ...viewOf(sandbox),
        decisions,
        next_after: Math.min(after, all.length) + decisions.length,
        first_seq: 1,
      };
    },
  } satisfies Partial<Provider>;
}
