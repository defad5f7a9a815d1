/**
 * One sandbox of the mock: its lease, its running time, its files and commands, all as of the last look at the clock.
 * Promise: what happens between two looks is told as of the moment it was due, not of the look.
 */
import type { Duplex } from 'node:stream';
import { leaseLeftMs, type MockClock, type MockLease } from './mock-lease.ts';
import { type MockSecrets, newSecrets } from './mock-secrets.ts';
import type { Step } from './mock-shell.ts';
import type { MockWatch } from './mock-watch.ts';
import type {
  ExecEnd,
  ExecView,
  FinishOrder,
  OutputChunk,
  ProviderFault,
  SandboxSpec,
  SandboxView,
  TerminalSize,
} from './port.ts';
import type { PathChanged } from './port-files.ts';

export interface MockExec {
  id: string;
  argv: string[];
  steps: Step[];
  startedAtRanMs: number;
  startedAtUs: number;
  endedAtUs: number | null;
  end: ExecEnd | null;
  chunks: OutputChunk[];
  total: { 1: number; 2: number };
  timeoutMs: number | undefined;
  isStdinOpen: boolean;
  /** Bytes that each writer has typed. */
  positions: Map<string, number>;
  tty: TerminalSize | null;
}

export interface MockSandbox {
  spec: SandboxSpec;
  lease: MockLease;
  finish: FinishOrder | undefined;
  readyAtMonotonicMs: number;
  startedAtUs: number;
  frozenAtMonotonicMs: number | undefined;
  frozenTotalMs: number;
  ended: { reason: string; at_us: number } | null;
  execs: Map<string, MockExec>;
  files: Map<string, Buffer>;
  /** Those that stand without a file below. */
  folders: Set<string>;
  /** Outcomes of changes by their names. */
  changes: Map<string, PathChanged | ProviderFault>;
  watches: Map<string, MockWatch>;
  secrets: MockSecrets;
  /** Open streams to its ports. */
  streams: Set<Duplex>;
  lastActivityUs: number;
  lastActivity: string;
}

export type Tell = (event: 'frozen' | 'thawed' | 'ended' | 'exec_ended', atMonotonicMs: number, facts: object) => void;

export const HOME = '/home/user';

export function newSandbox(spec: SandboxSpec, lease: MockLease, clock: MockClock): MockSandbox {
  const nowUs = Math.round(clock.wallMs() * 1_000);
  return {
    spec,
    lease,
    finish: undefined,
    readyAtMonotonicMs: clock.monotonicMs(),
    startedAtUs: nowUs,
    frozenAtMonotonicMs: undefined,
    frozenTotalMs: 0,
    ended: null,
    execs: new Map(),
    files: new Map(),
    folders: new Set(),
    changes: new Map(),
    watches: new Map(),
    secrets: newSecrets(),
    streams: new Set(),
    lastActivityUs: nowUs,
    lastActivity: 'start',
  };
}

export function ranMs(sandbox: MockSandbox, nowMonotonicMs: number): number {
  const untilMs = Math.min(nowMonotonicMs, sandbox.frozenAtMonotonicMs ?? nowMonotonicMs);
  return Math.max(0, Math.round(untilMs - sandbox.readyAtMonotonicMs - sandbox.frozenTotalMs));
}

function leftMs(sandbox: MockSandbox, clock: MockClock, marginMs: number): number {
  const { finish, lease } = sandbox;
  const ofFinish = finish ? (finish.at_us ?? 0) / 1_000 - clock.wallMs() : Number.POSITIVE_INFINITY;
  return Math.min(leaseLeftMs(lease, clock), ofFinish) - marginMs;
}

/** Brings a sandbox up to now: writes what was due, freezes, thaws, ends. */
export function settle(sandbox: MockSandbox, clock: MockClock, marginMs: number, tell: Tell): void {
  if (sandbox.ended) return;
  const nowMs = clock.monotonicMs();
  const left = leftMs(sandbox, clock, marginMs);
  if (left > 0 && sandbox.frozenAtMonotonicMs !== undefined) {
    sandbox.frozenTotalMs += nowMs - sandbox.frozenAtMonotonicMs;
    sandbox.frozenAtMonotonicMs = undefined;
    tell('thawed', nowMs, {});
  }
  const isDue = left <= 0 && sandbox.frozenAtMonotonicMs === undefined;
  // A finish at once has no moment of its own in the past.
  const dueAtMs = sandbox.finish?.at_us === null ? nowMs : Math.max(nowMs + left, sandbox.readyAtMonotonicMs);
  if (isDue) sandbox.frozenAtMonotonicMs = Math.min(nowMs, dueAtMs);
  runExecs(sandbox, clock, tell);
  if (isDue) tell('frozen', sandbox.frozenAtMonotonicMs as number, { late_ms: 0 });
  if (sandbox.frozenAtMonotonicMs === undefined) return;
  const graceMs = sandbox.finish || sandbox.lease.isFinal ? 0 : sandbox.spec.grace_ms;
  const endsAtMs = sandbox.frozenAtMonotonicMs + graceMs;
  if (nowMs >= endsAtMs) endSandbox(sandbox, clock, sandbox.finish?.reason ?? 'lease_ended', endsAtMs, tell);
}

export function endSandbox(sandbox: MockSandbox, clock: MockClock, reason: string, atMs: number, tell: Tell): void {
  sandbox.frozenAtMonotonicMs ??= atMs;
  const atUs = Math.round((clock.wallMs() - (clock.monotonicMs() - atMs)) * 1_000);
  // an end that was announced is the end of the paid time
  const isAnnounced = sandbox.finish?.reason === reason && sandbox.finish.at_us !== null;
  const how: ExecEnd = {
    end: reason === 'sandbox_lost' ? reason : reason === 'lease_ended' || isAnnounced ? 'lease_ended' : 'killed',
  };
  for (const exec of sandbox.execs.values())
    if (!exec.end) endExec(exec, how, atUs, () => tell('exec_ended', atMs, { exec_id: exec.id, end: how.end }));
  sandbox.ended = { reason, at_us: atUs };
  for (const stream of sandbox.streams) stream.destroy();
  tell('ended', atMs, { reason });
}

export function endExec(exec: MockExec, end: ExecEnd, atUs: number, tell: () => void): void {
  exec.end = end;
  exec.endedAtUs = atUs;
  tell();
}

export function writeChunk(exec: MockExec, stream: 1 | 2, bytes: Buffer): void {
  exec.chunks.push({ stream, cursor: exec.total[1] + exec.total[2], bytes });
  exec.total[stream] += bytes.length;
}

function runExecs(sandbox: MockSandbox, clock: MockClock, tell: Tell): void {
  const nowMs = clock.monotonicMs();
  const atUs = Math.round(clock.wallMs() * 1_000);
  for (const exec of sandbox.execs.values()) {
    if (exec.end) continue;
    const ranSinceMs = ranMs(sandbox, nowMs) - exec.startedAtRanMs;
    const untilMs = Math.min(ranSinceMs, exec.timeoutMs ?? Number.POSITIVE_INFINITY);
    while (exec.steps[0] && exec.steps[0].atMs <= untilMs) take(exec, exec.steps.shift() as Step, atUs, nowMs, tell);
    const isTimedOut = exec.timeoutMs !== undefined && ranSinceMs >= exec.timeoutMs;
    if (!exec.end && isTimedOut)
      endExec(exec, { end: 'timeout' }, atUs, () => tell('exec_ended', nowMs, { exec_id: exec.id, end: 'timeout' }));
  }
}

function take(exec: MockExec, step: Step, atUs: number, nowMs: number, tell: Tell): void {
  if (step.stream && step.bytes) writeChunk(exec, step.stream, step.bytes);
  const { code } = step;
  if (code === undefined) return;
  endExec(exec, { end: 'exited', code }, atUs, () =>
    tell('exec_ended', nowMs, { exec_id: exec.id, end: 'exited', code }),
  );
}

export function execView(exec: MockExec): ExecView {
  return {
    exec_id: exec.id,
    program: exec.argv[0] ?? '',
    tty: exec.tty,
    state: exec.end ? 'ended' : 'running',
    end: exec.end,
    stdout_bytes: exec.total[1],
    stderr_bytes: exec.total[2],
    started_at_us: exec.startedAtUs,
    ended_at_us: exec.endedAtUs,
  };
}

export function sandboxView(sandbox: MockSandbox, clock: MockClock): SandboxView {
  const { spec, lease, ended, frozenAtMonotonicMs } = sandbox;
  const frozenForMs = clock.monotonicMs() - (frozenAtMonotonicMs ?? 0);
  const ran = ranMs(sandbox, clock.monotonicMs());
  return {
    sandbox: spec.sandbox,
    incarnation: spec.incarnation,
    state: ended ? 'ended' : frozenAtMonotonicMs === undefined ? 'running' : 'frozen',
    ended,
    lease: {
      seq: lease.seq,
      paid_until_us: lease.paidUntilMs * 1_000,
      remaining_ms: ended ? 0 : Math.max(0, Math.floor(leftMs(sandbox, clock, 0))),
      final: lease.isFinal,
    },
    started_at_us: sandbox.startedAtUs,
    running_ms: ran,
    frozen_since_us: frozenAtMonotonicMs === undefined ? null : Math.round((clock.wallMs() - frozenForMs) * 1_000),
    cpu_us: 0,
    memory_bytes: 0,
    execs_running: [...sandbox.execs.values()].filter((exec) => !exec.end).length,
    last_activity_us: sandbox.lastActivityUs,
    last_activity: sandbox.lastActivity,
  };
}
