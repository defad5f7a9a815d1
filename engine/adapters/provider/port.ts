/**
 * What the house asks of whoever runs sandboxes: one port, the same for every provider.
 * Promise: every call either answers or throws a ProviderFault that says whether repeating it makes sense.
 *
 * Members are spelled as on the wire: they go into commands, events and receipts as they are.
 * Times are microseconds since 1970 (`_us`), durations milliseconds (`_ms`).
 */
import type { Duplex, Readable } from 'node:stream';
import type { Envelope } from '@tallystick/kernel';
import type { SealedSecret } from '@tallystick/kernel/sealing';
import type { EgressCalls, EgressPolicy } from './port-egress.ts';
import type { PathCalls, WatchCalls } from './port-files.ts';

export type FactValue = string | number | boolean | null;

/**
 * `refused`: the machine said no, a repetition will hear the same; `gone`: what was asked for does not exist (any more);
 * `unreachable`: the outcome is unknown, the same call may be repeated (all of them are idempotent by their names).
 */
export type ProviderFaultKind = 'refused' | 'unreachable' | 'gone';

export class ProviderFault extends Error {
  readonly kind: ProviderFaultKind;
  /** One word of the provider, e.g. `ticket_old_seq`, `frozen`, `no_room`. */
  readonly code: string;
  /** Cap, asked, available and the like. */
  readonly facts: Readonly<Record<string, FactValue>>;

  constructor(kind: ProviderFaultKind, code: string, detail: string, facts: Record<string, FactValue> = {}) {
    super(detail);
    this.kind = kind;
    this.code = code;
    this.facts = facts;
  }
}

export interface Descriptor {
  isolation: 'vm' | 'gvisor' | 'ns' | 'ns-lite' | 'mock';
  /** Whether commands can run on a terminal; else they are refused as `no_terminals`. */
  terminals: boolean;
  /** What happens at the end of a lease. */
  enforcement: 'freeze' | 'kill';
  quotas: string[];
  egress: string[];
  images: string[];
  /** Hex, by image: what each is made of on this machine. */
  image_digests: Record<string, string>;
  totals: { cpu_millis: number; memory_mib: number; disk_mib: number };
  sandboxes_max: number;
}

export interface SandboxSpec {
  sandbox: string;
  /** Which life of the sandbox, from 1. */
  incarnation: number;
  image: string;
  cpu_millis: number;
  memory_mib: number;
  disk_mib: number;
  pids_max: number;
  /** How long it may stand frozen for a newer ticket before it is destroyed. */
  grace_ms: number;
  /** Hex; refused on a machine whose image has another digest. */
  image_digest?: string;
  /** How far it reaches out; absent: nowhere. */
  egress?: EgressPolicy;
  /** Start from this snapshot instead of an empty disk. */
  from?: SnapshotRef;
  /** The snapshot that its disk becomes when its money or time is over. */
  keep_as?: string;
}

/** A snapshot and the digest that its content must have, hex. */
export interface SnapshotRef {
  snapshot: string;
  sha256: string;
}

/** A file system that outlives its sandbox. */
export interface SnapshotView {
  snapshot: string;
  sandbox: string;
  incarnation: number;
  image: string;
  image_digest: string;
  disk_mib: number;
  /** Taken because somebody asked, or kept by `keep_as`. */
  cause: 'asked' | 'on_end';
  /** Of its content, hex. */
  sha256: string;
  /** Room that it takes. */
  bytes: number;
  taken_at_us: number;
}

export interface Created {
  sandbox: string;
  incarnation: number;
  state: 'running';
  started_at_us: number;
  isolation: Descriptor['isolation'];
  image_version: string;
  /** Of the image that it runs, hex. */
  image_digest: string;
  /** Changes when the provider's machine or agent restarts: sandboxes of another boot are lost. */
  boot_id: string;
}

export interface SandboxView {
  sandbox: string;
  incarnation: number;
  state: 'starting' | 'running' | 'frozen' | 'ended';
  ended: { reason: string; at_us: number } | null;
  lease: { seq: number; paid_until_us: number; remaining_ms: number; final: boolean };
  started_at_us: number;
  /** Wall time since ready that it did not stand frozen. */
  running_ms: number;
  frozen_since_us: number | null;
  cpu_us: number;
  memory_bytes: number;
  execs_running: number;
  last_activity_us: number;
  /** `start`, `exec`, `output`, `file_write`, `file_read`, `port`. */
  last_activity: string;
}

export interface FinishOrder {
  incarnation: number;
  /** A lower-case word; the `reason` of the `ended` event. */
  reason: string;
  /** Null: at once. Else at this moment or at the lease's end, whichever is sooner, without grace. */
  at_us: number | null;
}

export type ProviderEventName =
  | 'started'
  | 'renewed'
  | 'frozen'
  | 'thawed'
  | 'ended'
  | 'exec_started'
  | 'exec_ended'
  | 'egress_changed'
  | 'reaper_restarted';

export interface ProviderEvent {
  /** 1 for the first of this boot. */
  seq: number;
  at_us: number;
  event: ProviderEventName;
  sandbox: string;
  incarnation: number;
  /** Running time up to now; absent for events of the machine itself. */
  ran_ms?: number;
  cpu_us?: number;
  /** Only `ended`: the reason of `finish`, or `lease_ended`, `oom`, `sandbox_lost`, `start_failed`, `stopped`. */
  reason?: string;
  [fact: string]: FactValue | undefined;
}

export interface ProviderEventPage {
  boot_id: string;
  events: ProviderEvent[];
  /** Pass it as `after` next time. */
  next_after: number;
  /** The oldest event still held; a reader behind it has missed some. */
  first_seq: number;
}

export interface ExecSpec {
  /** Chosen by the caller; a repetition starts nothing and answers the same. */
  exec_id: string;
  argv: string[];
  env?: Record<string, string>;
  cwd?: string;
  stdin?: Uint8Array;
  /** Keeps stdin open after `stdin` for `writeStdin`. */
  stdin_open?: boolean;
  timeout_ms?: number;
  /** Names of released secrets that it gets in its environment; refused while one is missing. */
  secrets?: string[];
  /** Refused until a secret was released. */
  sensitive?: boolean;
  /** On a terminal of this size: one stream of output, input open until its end. */
  tty?: TerminalSize;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** Where a piece stands among the bytes of its own writer: a repeated piece is typed once. */
export interface StdinPlace {
  /** Chosen by the writer, unique within the command. */
  writer: string;
  at: number;
}

export type ExecEnd =
  | { end: 'exited'; code: number }
  | { end: 'signaled'; signal: string }
  | { end: 'oom' | 'timeout' | 'lease_ended' | 'killed' | 'sandbox_lost' }
  | { end: 'not_started'; code: string };

export interface ExecView {
  exec_id: string;
  /** Without its arguments. */
  program: string;
  /** The size now; null when it runs on no terminal. */
  tty: TerminalSize | null;
  state: 'running' | 'ended';
  end: ExecEnd | null;
  stdout_bytes: number;
  stderr_bytes: number;
  started_at_us: number;
  ended_at_us: number | null;
}

export interface OutputChunk {
  /** 1: stdout, 2: stderr. */
  stream: 1 | 2;
  /** Position of the first byte in the combined log. */
  cursor: number;
  bytes: Buffer;
}

export interface OutputPage extends ExecView {
  chunks: OutputChunk[];
  next_cursor: number;
  /** The oldest byte still kept. */
  first_cursor: number;
  /** Bytes between the asked cursor and the oldest kept one. */
  dropped_bytes: number;
  /** The command has ended and all of its output is read. */
  at_end: boolean;
}

export interface OutputQuery {
  after?: number;
  waitMs?: number;
  maxBytes?: number;
}

/** What the machine says of one sandbox. */
export interface SandboxAttestation {
  mode: string;
  image_version: string;
  measurement: string | null;
  /** For a nonce: a DSSE envelope of the kernel's `Attestation`, and the text whose SHA-256 is its `policy_hash`. */
  signed?: { envelope: Envelope; policy: string };
}

export interface SecretsOrder {
  incarnation: number;
  /** The key that they were sealed to, base64, as attested. */
  sealing_key: string;
  secrets: SealedSecret[];
}

export interface SecretView {
  name: string;
  /** Hex. */
  commitment: string;
  released_at_us: number;
}

export interface FileEntry {
  name: string;
  type: 'file' | 'directory' | 'link' | 'other';
  bytes: number;
  mode: number;
  modified_us: number;
}

export type Body = Uint8Array | AsyncIterable<Uint8Array>;

/** Byte positions, both included. */
export interface ByteRange {
  start: number;
  end?: number;
}

/** @errors every method rejects with ProviderFault only. Paths are the sandbox's own; relative ones begin at its home. */
export interface Provider extends PathCalls, WatchCalls, EgressCalls {
  descriptor(): Promise<Descriptor>;
  attestation(): Promise<{ mode: string; image_version: string; measurement: string | null }>;
  /** Idempotent on (sandbox, incarnation). The first lease counts from `started_at_us`. */
  create(spec: SandboxSpec, ticket: Envelope): Promise<Created>;
  renew(sandbox: string, ticket: Envelope): Promise<SandboxView>;
  finish(sandbox: string, order: FinishOrder): Promise<SandboxView>;
  get(sandbox: string): Promise<SandboxView>;
  list(): Promise<SandboxView[]>;
  events(after: number, waitMs: number): Promise<ProviderEventPage>;

  /** `nonce`: 16 to 64 bytes in hex. */
  attest(sandbox: string, nonce?: string): Promise<SandboxAttestation>;
  /** All or none; kept in the machine's memory only. Repeating an order changes nothing. Answers with all there are. */
  releaseSecrets(sandbox: string, order: SecretsOrder): Promise<SecretView[]>;
  listSecrets(sandbox: string): Promise<SecretView[]>;

  /**
   * Keeps the file system as it is at one moment; the machine stands still only while it is copied. Idempotent by `snapshot`:
   * a repetition answers what the first one made.
   */
  takeSnapshot(sandbox: string, order: { snapshot: string; incarnation: number }): Promise<SnapshotView>;
  /** Those that are whole. */
  listSnapshots(): Promise<SnapshotView[]>;
  /** Nothing when there is none. */
  deleteSnapshot(snapshot: string): Promise<void>;

  startExec(sandbox: string, spec: ExecSpec): Promise<ExecView>;
  getExec(sandbox: string, execId: string, waitMs?: number): Promise<ExecView>;
  listExecs(sandbox: string): Promise<ExecView[]>;
  output(sandbox: string, execId: string, query?: OutputQuery): Promise<OutputPage>;
  signalExec(sandbox: string, execId: string, signal: string): Promise<ExecView>;
  /** Answers when the bytes are queued: how many this writer has written in all. */
  writeStdin(
    sandbox: string,
    execId: string,
    bytes: Uint8Array,
    end: boolean,
    place?: StdinPlace,
  ): Promise<{ position: number }>;
  resizeExec(sandbox: string, execId: string, size: TerminalSize): Promise<ExecView>;

  /** Whole or absent. `sha256` (hex) is checked before the file appears, `bytes` against the room before anything is made. */
  putFile(
    sandbox: string,
    path: string,
    body: Body,
    sha256?: string,
    bytes?: number,
  ): Promise<{ bytes: number; sha256: string }>;
  /** A tar stream, unpacked inside. `bytes`: what its files hold together, checked against the room before anything is made. */
  putTree(sandbox: string, path: string, body: Body, bytes?: number): Promise<{ bytes: number }>;
  getFile(sandbox: string, path: string, range?: ByteRange): Promise<Readable>;
  getTree(sandbox: string, path: string): Promise<Readable>;
  listFiles(sandbox: string, path: string): Promise<{ entries: FileEntry[]; truncated: boolean }>;

  /** A stream to what listens on the sandbox's own loopback; each side may close its half. It is cut when the sandbox ends. */
  openPort(sandbox: string, port: number): Promise<Duplex>;

  /** Lets go of connections; sandboxes run on. */
  close(): Promise<void>;
}
