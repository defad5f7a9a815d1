/**
 * A small world to try the rules in: one provider, one owner with money, one job, one sandbox.
 * Promise: every step goes through the real deciders; nothing is mocked.
 */

import type { JobState, SandboxState } from '@tallystick/hosting';
import { dayOf, type JsonObject, memoryWorld, type Outcome, type World } from '@tallystick/kernel';
import { RULES } from './index.ts';

export const OWNER = 'eip155:1:0x00000000000000000000000000000000000000aa';
export const STRANGER = 'eip155:1:0x00000000000000000000000000000000000000bb';
export const PROVIDER = 'local';
export const JOB = 'job_1';
export const SANDBOX = 'sbx_1';
/** 2026-01-01T00:00:00Z. */
export const START_US = 1_767_225_600_000_000n;
const US_PER_MS = 1_000n;

/** A world with a hand on its clock. */
export interface Bench {
  readonly world: World;
  nowUs: bigint;
  /** Carries out one command now. */
  ask(principal: string, stream: string, type: string, body?: JsonObject): Outcome;
  /** Lets time pass; what is due meanwhile fires at its moment. */
  pass(ms: number): Outcome[];
  job(id?: string): JobState;
  sandbox(id?: string): SandboxState;
  openJob(body?: JsonObject, id?: string): Outcome;
  openSandbox(body?: JsonObject, id?: string): Outcome;
  /** The owner asks the sandbox. */
  use(type: string, body?: JsonObject): Outcome;
  /** The provider says something of its machine. */
  report(type: string, body: JsonObject, id?: string): Outcome;
  started(id?: string): Outcome;
  ended(reason: string, ranMs: number, id?: string): Outcome;
  /** Available on an account. */
  on(account: string): bigint | undefined;
}

export function newBench(): Bench {
  let made = 0;
  const bench: Bench = {
    world: memoryWorld(RULES),
    nowUs: START_US,
    ask: (principal, stream, type, body = {}) =>
      bench.world.execute({ principal, key: `k${made++}`, stream, type, body }, bench.nowUs),
    pass(ms) {
      bench.nowUs += BigInt(ms) * US_PER_MS;
      return bench.world.advance(bench.nowUs);
    },
    job: (id = JOB) => bench.world.state(`job:${id}`) as JobState,
    sandbox: (id = SANDBOX) => bench.world.state(`sandbox:${id}`) as SandboxState,
    openJob: (body = {}, id = JOB) => bench.ask(OWNER, `job:${id}`, 'OpenJob', { ...JOB_BODY, ...body }),
    openSandbox: (body = {}, id = SANDBOX) =>
      bench.ask(OWNER, `sandbox:${id}`, 'OpenSandbox', { ...SANDBOX_BODY, day: dayOf(bench.nowUs), ...body }),
    use: (type, body = {}) => bench.ask(OWNER, `sandbox:${SANDBOX}`, type, body),
    report: (type, body, id = SANDBOX) =>
      bench.ask(`provider:${PROVIDER}`, `sandbox:${id}`, type, { incarnation: 1, ...body }),
    started: (id = SANDBOX) =>
      bench.report('ReportStarted', { started_at_us: String(bench.nowUs), isolation: 'ns', image_version: 'v1' }, id),
    ended: (reason, ranMs, id = SANDBOX) =>
      bench.report('ReportEnded', { at_us: String(bench.nowUs), ran_ms: ranMs, cpu_us: '0', reason }, id),
    on: (account) => bench.world.availableMicros(account),
  };
  return bench;
}

export const JOB_BODY: JsonObject = {
  label: 'work',
  max_total_spend_micros: '1000000',
  ttl_ms: null,
  idle_timeout_ms: null,
  sandboxes_max: null,
};

/** Costs 6 micros a second: 360 a minute. */
export const SANDBOX_BODY: JsonObject = {
  job: JOB,
  payer: OWNER,
  day: '2026-01-01',
  provider: PROVIDER,
  isolation: 'ns',
  label: 'one',
  image: '',
  image_digest: 'd'.repeat(64),
  security_mode: 'standard',
  cpu_millis: 600,
  ram_mib: 1_024,
  disk_mib: 4_096,
  max_spend_micros: null,
  ttl_ms: null,
  idle_timeout_ms: null,
  quantum_ms: null,
  default_quantum_ms: 60_000,
  grace_ms: 120_000,
  incarnation: 1,
};

/** A ledger, an account and so much money on it. */
export function funded(depositMicros: string): Bench {
  const bench = newBench();
  bench.ask('platform', 'ledger:platform', 'OpenLedger', { providers: [PROVIDER] });
  bench.ask('platform', `account:${OWNER}`, 'OpenAccount');
  if (depositMicros !== '0')
    bench.ask('platform', `account:${OWNER}`, 'CreditDeposit', {
      deposit_id: 'dep_1',
      amount_micros: depositMicros,
      source: 'development',
      reference: '',
    });
  return bench;
}
