/**
 * What is known of a sandbox: a real machine, paid step by step in advance.
 * Promise: plain JSON that only events change; it holds everything that its owner is shown.
 */
import {
  countIn,
  type DomainEvent,
  flagIn,
  type JsonObject,
  microsIn,
  optionalIn,
  textIn,
  timeUsIn,
} from '@tallystick/kernel';
import { type ClampState, mergeClamps } from './clamp.ts';
import { type EgressState, egressChanged } from './egress-state.ts';
import { type OpenPort, portClosed, portExposed } from './reach-state.ts';

export type SandboxStatus = '' | 'starting' | 'running' | 'frozen' | 'stopping' | 'ended';

/** A sold step that is not settled with the provider yet. */
export type Step = { seq: number; starts_at_us: string; ends_at_us: string; price_micros: string };

export type SandboxState = {
  id: string;
  owner: string;
  job: string;
  label: string;
  status: SandboxStatus;
  /** Why it ended, or will end at `ends_at_us`; empty while neither. */
  stop_reason: string;
  provider: string;
  isolation: string;
  image: string;
  security_mode: string;
  incarnation: number;
  cpu_millis: number;
  ram_mib: number;
  disk_mib: number;
  price_micros_per_minute: string;
  quantum_ms: number;
  price_micros_per_quantum: string;
  minutes_sold: number;
  max_spend_micros: string;
  /** It was given no cap of its own: what remains of the job is its cap. */
  follows_job_cap: boolean;
  charged_micros: string;
  /** The UTC day of the last sale, and what was charged on it. */
  day: string;
  day_charged_micros: string;
  refunded_micros: string;
  /** Moved from escrow to the provider. */
  settled_micros: string;
  open_steps: Step[];
  paid_until_us: string;
  /** The account did not cover the next step when it was last tried. */
  is_unfunded: boolean;
  ttl_ms: number;
  expires_at_us: string;
  idle_timeout_ms: number | null;
  /** Its job has an idle timeout and wants to know of activity. */
  touches_job: boolean;
  last_activity_at_us: string;
  last_activity_cause: string;
  active_until_us: string;
  /** Ids of commands in flight. */
  execs: string[];
  created_at_us: string;
  started_at_us: string | null;
  frozen_at_us: string | null;
  /** Paid time during which it stood frozen. */
  undelivered_us: string;
  ends_at_us: string | null;
  stopped_at_us: string | null;
  ran_ms: number;
  cpu_us: string;
  grace_ms: number;
  clamps: ClampState[];
  /** Of its image, hex. */
  image_digest?: string;
  /** The snapshot it started from; absent: an empty disk. */
  from_snapshot?: string;
  from_sha256?: string;
  /** `snapshot`: its disk is kept when it ends for want of money or time; absent: it goes. */
  on_end?: string;
  /** The snapshot that its disk became; absent until it is kept. */
  kept_snapshot?: string;
  /** Ways out; absent: none was ever asked for. */
  egress?: EgressState;
  /** Ways in; absent until one is opened. */
  ports?: OpenPort[];
  port_serial?: number;
};

export const NO_SANDBOX: SandboxState = {
  id: '',
  owner: '',
  job: '',
  label: '',
  status: '',
  stop_reason: '',
  provider: '',
  isolation: '',
  image: '',
  security_mode: '',
  incarnation: 0,
  cpu_millis: 0,
  ram_mib: 0,
  disk_mib: 0,
  price_micros_per_minute: '0',
  quantum_ms: 0,
  price_micros_per_quantum: '0',
  minutes_sold: 0,
  max_spend_micros: '0',
  follows_job_cap: false,
  charged_micros: '0',
  day: '',
  day_charged_micros: '0',
  refunded_micros: '0',
  settled_micros: '0',
  open_steps: [],
  paid_until_us: '0',
  is_unfunded: false,
  ttl_ms: 0,
  expires_at_us: '0',
  idle_timeout_ms: null,
  touches_job: false,
  last_activity_at_us: '0',
  last_activity_cause: '',
  active_until_us: '0',
  execs: [],
  created_at_us: '0',
  started_at_us: null,
  frozen_at_us: null,
  undelivered_us: '0',
  ends_at_us: null,
  stopped_at_us: null,
  ran_ms: 0,
  cpu_us: '0',
  grace_ms: 0,
  clamps: [],
};

/** The snapshot that a sandbox's disk becomes at its end: one name for one end, known before. */
export const endSnapshotOf = (sandbox: string): string => sandbox.replace(/^sbx_/, 'snp_');

type Change = (state: SandboxState, body: JsonObject) => SandboxState;

const CHANGES: Record<string, Change> = {
  SandboxOpened: (state, body) => ({ ...state, ...(body as Partial<SandboxState>), status: 'starting' }),
  MinuteSold: sold,
  MachineStarted: started,
  FundsMissing: (state) => ({ ...state, is_unfunded: true }),
  MachineFrozen: (state, body) => ({
    ...state,
    status: state.status === 'running' ? 'frozen' : state.status,
    frozen_at_us: textIn(body, 'at_us'),
  }),
  MachineThawed: (state, body) => ({
    ...state,
    status: state.status === 'frozen' ? 'running' : state.status,
    frozen_at_us: null,
    undelivered_us: String(BigInt(state.undelivered_us) + timeUsIn(body, 'undelivered_us')),
  }),
  SandboxExtended: (state, body) => ({
    ...state,
    max_spend_micros: textIn(body, 'max_spend_micros'),
    ttl_ms: countIn(body, 'ttl_ms'),
    expires_at_us: textIn(body, 'expires_at_us'),
    clamps: mergeClamps(state.clamps, body['clamps'] as ClampState[]),
  }),
  SandboxTouched: active,
  ExecStarted: (state, body) => ({ ...active(state, body), execs: [...state.execs, textIn(body, 'exec_id')] }),
  ExecFinished: (state, body) => ({
    ...active(state, body),
    execs: state.execs.filter((id) => id !== textIn(body, 'exec_id')),
  }),
  UploadRecorded: active,
  ActivityRecorded: active,
  SecretsSent: active,
  SnapshotKept: (state, body) => ({ ...state, kept_snapshot: textIn(body, 'snapshot') }),
  PortExposed: portExposed,
  PortClosed: portClosed,
  EgressChanged: egressChanged,
  SandboxStopping: (state, body) => ({
    ...state,
    status: 'stopping',
    stop_reason: textIn(body, 'reason'),
    ends_at_us: textIn(body, 'ends_at_us'),
  }),
  SandboxEnded: ended,
};

export function evolveSandbox(state: SandboxState, { type, body }: DomainEvent): SandboxState {
  const change = CHANGES[type];
  if (!change) throw new TypeError(`a sandbox knows no event ${type}`);
  return change(state, body);
}

function sold(state: SandboxState, body: JsonObject): SandboxState {
  const step: Step = {
    seq: countIn(body, 'seq'),
    starts_at_us: textIn(body, 'starts_at_us'),
    ends_at_us: textIn(body, 'paid_until_us'),
    price_micros: textIn(body, 'price_micros'),
  };
  const settledSeq = countIn(body, 'settled_seq');
  const day = textIn(body, 'day');
  const dayBefore = day === state.day ? BigInt(state.day_charged_micros) : 0n;
  return {
    ...state,
    day,
    day_charged_micros: String(dayBefore + BigInt(step.price_micros)),
    minutes_sold: step.seq,
    max_spend_micros: String(BigInt(state.max_spend_micros) + microsIn(body, 'cap_added_micros')),
    charged_micros: String(BigInt(state.charged_micros) + BigInt(step.price_micros)),
    settled_micros: String(BigInt(state.settled_micros) + microsIn(body, 'settled_micros')),
    open_steps: [...state.open_steps.filter(({ seq }) => seq > settledSeq), step],
    paid_until_us: step.ends_at_us,
    is_unfunded: false,
  };
}

/** The first step counts from here. */
function started(state: SandboxState, body: JsonObject): SandboxState {
  const [startsAtUs, endsAtUs] = [textIn(body, 'started_at_us'), textIn(body, 'paid_until_us')];
  return {
    ...state,
    status: state.status === 'starting' ? 'running' : state.status,
    started_at_us: startsAtUs,
    isolation: textIn(body, 'isolation'),
    open_steps: state.open_steps.map((step) => ({ ...step, starts_at_us: startsAtUs, ends_at_us: endsAtUs })),
    paid_until_us: endsAtUs,
  };
}

function active(state: SandboxState, body: JsonObject): SandboxState {
  return {
    ...state,
    last_activity_at_us: textIn(body, 'at_us'),
    last_activity_cause: textIn(body, 'cause'),
    active_until_us: textIn(body, 'active_until_us'),
  };
}

function ended(state: SandboxState, body: JsonObject): SandboxState {
  const stoppedAtUs = optionalIn(body, 'stopped_at_us', textIn);
  return {
    ...state,
    status: 'ended',
    stop_reason: textIn(body, 'reason'),
    stopped_at_us: stoppedAtUs,
    ends_at_us: stoppedAtUs,
    refunded_micros: String(BigInt(state.refunded_micros) + microsIn(body, 'refunded_micros')),
    settled_micros: String(BigInt(state.settled_micros) + microsIn(body, 'settled_micros')),
    open_steps: [],
    execs: [],
    ran_ms: countIn(body, 'ran_ms'),
    cpu_us: textIn(body, 'cpu_us'),
    is_unfunded: flagIn(body, 'is_unfunded'),
  };
}
