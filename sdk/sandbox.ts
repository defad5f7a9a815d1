/**
 * A sandbox: one real isolated machine, paid minute by minute in advance.
 * Promise: `await using` destroys it, whatever happens in between.
 */

import type { Duplex } from 'node:stream';
import {
  type Egress,
  type EgressDecision,
  type Exec as ExecState,
  type Port,
  type Sandbox as SandboxState,
  SandboxStatus,
  type SecurityMode,
  type Snapshot,
} from '@tallystick/proto';
import { type EgressQuery, type EgressWish, egressInput, followEgress, readEgress, setEgress } from './egress.ts';
import {
  type ExecOptions,
  type ExecStream,
  execute,
  followExec,
  openTerminal,
  startExec,
  type Terminal,
  type TerminalOptions,
} from './exec.ts';
import {
  downloadBytes,
  downloadTree,
  type Source,
  type TreeContent,
  type TreeProgress,
  uploadBytes,
  uploadTree,
} from './files.ts';
import { type Asked, askedOf, type Keyed, keyOf, keyOfName } from './ids.ts';
import type { ExtendOptions } from './job.ts';
import type { ExecResult } from './output.ts';
import { filesOf, type SandboxFiles } from './paths.ts';
import { closePort, connectPort, type ExposeOptions, exposePort, listPorts } from './ports.ts';
import { type Attested, type AttestOptions, attest, type ReleasedSecret, releaseSecrets } from './secrets.ts';
import { ApiError, type FileEntry, type Link, type UploadedFile } from './services.ts';
import { type SnapshotOptions, takeSnapshot, withEnd } from './snapshots.ts';
import { type Typing, typingInto } from './typing.ts';

export interface CreateSandboxOptions extends Keyed {
  /**
   * Its label, and its idempotency key: in one job the same name with the same wishes is the same sandbox, bought once.
   * The answer is the first one; `refresh` tells how it stands now.
   */
  name?: string;
  label?: string;
  /** From the allowlist; absent: the newest sandbox-base. */
  image?: string;
  securityMode?: SecurityMode;
  /** Thousandths of a core. */
  cpuMillis?: number;
  ramMib?: number;
  diskMib?: number;
  /** Absent: what remains of the job. */
  maxSpendMicros?: bigint;
  ttlMs?: bigint;
  idleTimeoutMs?: bigint;
  /** Length of one sold step; absent: 60 seconds. */
  quantumMs?: bigint;
  /** Start from this snapshot instead of an empty disk; `diskMib` absent: the snapshot's. */
  snapshotId?: string;
  /** `snapshot`: keep the file system when money or time is over; it stands in `state.keptSnapshotId` then. */
  onEnd?: 'discard' | 'snapshot';
  /** Start only where the image is made of exactly this, hex SHA-256. */
  imageDigest?: string;
  /** The weakest isolation level that will do, e.g. `gvisor`; refused with `ISOLATION_UNAVAILABLE` where the machine is weaker. */
  isolation?: string;
  /** How far it may reach out; absent: nowhere. */
  egress?: EgressWish;
}

/** @internal */
export async function createSandbox(link: Link, jobId: string, options: CreateSandboxOptions): Promise<Sandbox> {
  const { key, signal, name, egress, ...wishes } = options;
  const input = name === undefined ? wishes : { label: name, ...wishes };
  const named = key ?? (name === undefined ? undefined : keyOfName(jobId, name));
  const state = await link.services.sandboxes.createSandbox(
    { jobId, ...withEnd(input), ...(egress ? { egress: egressInput(egress) } : {}) },
    keyOf({ key: named, signal }),
  );
  return new Sandbox(link, state.id, state);
}

/** A class because it has a lifetime. */
export class Sandbox implements AsyncDisposable {
  readonly id: string;
  /** Its files by their paths: stat, list, read, write, mkdir, move, remove, watch. */
  readonly files: SandboxFiles;
  readonly #link: Link;
  #state: SandboxState | undefined;

  /** @internal */
  constructor(link: Link, id: string, state?: SandboxState) {
    this.#link = link;
    this.id = id;
    this.files = filesOf(link, id);
    this.#state = state;
  }

  /** As the platform last told it; undefined before the first answer of an attached sandbox. */
  get state(): SandboxState | undefined {
    return this.#state;
  }

  /**
   * Runs a command to its end. Give `onOutput` to see output while it comes.
   * @errors ApiError when it is not started; a command that fails is a result, not an error
   * @example
   * const { exitCode, stdout } = await sandbox.exec(['ls', '-la']);
   * await sandbox.exec(['sh', '-c', 'make 2>&1'], { onOutput: ({ bytes }) => process.stdout.write(bytes) });
   */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return execute(this.#link, this.id, argv, options);
  }

  /**
   * Starts a command and yields its output live; reconnects from the cursor, so no byte is lost or seen twice.
   * @example
   * const run = await sandbox.execStream(['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 1; done']);
   * for await (const { stream, bytes } of run) process[stream].write(bytes);
   * const { end, exitCode } = await run.outcome;
   */
  execStream(argv: readonly string[], options: Omit<ExecOptions, 'onOutput'> = {}): Promise<ExecStream> {
    return startExec(this.#link, this.id, argv, options);
  }

  /** Follows a command that was started before, from a cursor; 0n: from its beginning. */
  attach(execId: string, after = 0n, signal?: AbortSignal): ExecStream {
    return followExec(this.#link, this.id, execId, { after, ...(signal ? { signal } : {}) });
  }

  /**
   * Runs a command on a terminal: `write` types, `resize` tells a new size, iterating yields the screen's bytes.
   * @example
   * const shell = await sandbox.terminal(['bash'], { tty: { columns: 80, rows: 24 } });
   * await shell.write('uname -a\rexit\r');
   * for await (const { bytes } of shell) process.stdout.write(bytes);
   */
  terminal(argv: readonly string[], options: TerminalOptions): Promise<Terminal> {
    return openTerminal(this.#link, this.id, argv, options);
  }

  /** The input of a running command that was started with `tty` or `stdinOpen`. */
  input(execId: string, signal?: AbortSignal): Typing {
    return typingInto(this.#link, this.id, execId, signal);
  }

  /** The commands of this sandbox, running and ended, in the order of their start. */
  async execs(options?: Asked): Promise<ExecState[]> {
    return (await this.#link.services.execs.listExecs({ id: this.id }, askedOf(options))).execs;
  }

  /** Sends a signal, e.g. `SIGTERM`, to a command's process group. */
  async signal(execId: string, signal: string, options?: Keyed): Promise<void> {
    await this.#link.services.execs.signalExec({ id: this.id, execId, signal }, keyOf(options));
  }

  /** Writes one file, whole or not at all. `path` is absolute, or relative to the home directory. */
  upload(path: string, content: Source, options?: Keyed): Promise<UploadedFile> {
    return uploadBytes(this.#link, this.id, { path, content, unpack: false }, options);
  }

  /**
   * Sends a folder from here to a folder there; `content` counts the files, `bytes` the stream they travelled in.
   * @example await sandbox.uploadTree('node_modules', 'input', { onProgress: ({ bytes }) => console.error(bytes) });
   */
  uploadTree(
    fromFolder: string,
    toFolder: string,
    options: Keyed & TreeProgress = {},
  ): Promise<UploadedFile & { content: TreeContent }> {
    return uploadTree(this.#link, this.id, { fromFolder, toFolder }, options);
  }

  /** One file's bytes as they come. */
  download(path: string, { signal }: Asked = {}): AsyncIterable<Uint8Array> {
    return downloadBytes(this.#link, this.id, { path, pack: false }, signal);
  }

  /** Brings a folder from there to a folder here; nothing is written outside it. Says what came. */
  downloadTree(fromFolder: string, toFolder: string, options: TreeProgress = {}): Promise<TreeContent> {
    return downloadTree(this.#link, this.id, { fromFolder, toFolder }, options);
  }

  /** What a folder holds; absent: the home directory. */
  async list(path = '', options?: Asked): Promise<{ entries: FileEntry[]; truncated: boolean }> {
    const { entries, truncated } = await this.#link.services.files.listFiles({ id: this.id, path }, askedOf(options));
    return { entries, truncated };
  }

  /**
   * What the machine says of this sandbox, verified: its key, its image's digest, the rules it holds the sandbox to.
   * @errors ApiError `attestation_refused` when it does not hold
   */
  attest(options: AttestOptions = {}): Promise<Attested> {
    return attest(this.#link, this.id, options);
  }

  /**
   * Seals values to the attested machine and releases them: commands get them by name, and as files below /run/secrets.
   * What they print of them is masked. The platform never sees a value.
   * @errors ApiError `attestation_refused`, `secret_refused`; TypeError for a bad name or size
   * @example
   * await sandbox.releaseSecrets({ API_TOKEN: token }, { wardenKey });
   * await sandbox.exec(['sh', '-c', 'curl -H "Authorization: Bearer $API_TOKEN" ...'], { secrets: ['API_TOKEN'] });
   */
  releaseSecrets(
    values: Readonly<Record<string, Uint8Array | string>>,
    options: AttestOptions & Keyed = {},
  ): Promise<ReleasedSecret[]> {
    return releaseSecrets(this.#link, this.id, values, options);
  }

  /** Names of the secrets it has, with the commitments to their values. */
  async secrets(options?: Asked): Promise<ReleasedSecret[]> {
    return (await this.#link.services.secrets.listSecrets({ id: this.id }, askedOf(options))).secrets;
  }

  /**
   * Opens a port on the sandbox's loopback to the outside.
   * @errors ApiError `policy_cap_exceeded` when the tier has no more
   * @example const { link } = await sandbox.exposePort(8080, { visibility: 'link', ttlMs: 600_000n });
   */
  exposePort(port: number, options?: ExposeOptions): Promise<Port> {
    return exposePort(this.#link, this.id, port, options);
  }

  /** The open ports, oldest first. */
  ports(options?: Asked): Promise<Port[]> {
    return listPorts(this.#link, this.id, options);
  }

  /** Its links are void and its connections are cut. */
  closePort(port: number, options?: Keyed): Promise<Port> {
    return closePort(this.#link, this.id, port, options);
  }

  /**
   * A plain stream to an open port.
   * @example (await sandbox.connectPort(await sandbox.exposePort(5432))).pipe(process.stdout);
   */
  connectPort(port: Pick<Port, 'url'>): Promise<Duplex> {
    return connectPort(this.#link, port);
  }

  /**
   * Keeps the home directory as it is at one moment; the processes go on. Resolves when it is whole.
   * @errors ApiError `policy_cap_exceeded`, `disk_out_of_range` (below 256 MiB), `snapshot_refused`
   * @example
   * const { id: snapshotId } = await sandbox.snapshot({ label: 'installed' });
   * await using copy = await job.sandboxes.create({ snapshotId });
   */
  snapshot(options?: SnapshotOptions): Promise<Snapshot> {
    return takeSnapshot(this.#link, this.id, options);
  }

  /**
   * Replaces how far it may reach out: for new connections at once, and open ones that it no longer names are cut.
   * @errors ApiError `policy_cap_exceeded`, `egress_not_offered`, `egress_rule_invalid`
   * @example await sandbox.setEgress({ allow: ['packages.example.org:443', '*.example.com:80,443'] });
   */
  setEgress(wish: EgressWish & Keyed): Promise<Egress> {
    return setEgress(this.#link, this.id, wish);
  }

  /** How far it may reach out, and the decisions after a position. */
  egress(query?: EgressQuery): Promise<Egress> {
    return readEgress(this.#link, this.id, query);
  }

  /** Every decision about an attempt to reach out, as it is made. */
  egressDecisions(options?: Asked & { after?: bigint }): AsyncGenerator<EgressDecision> {
    return followEgress(this.#link, this.id, options);
  }

  refresh(options?: Asked): Promise<SandboxState> {
    return this.#told(this.#link.services.sandboxes.getSandbox({ id: this.id }, askedOf(options)));
  }

  /** Says that something is going on, so that the idle timeout does not apply. */
  touch({ reason = '', forMs, ...options }: Keyed & { reason?: string; forMs?: bigint } = {}): Promise<SandboxState> {
    const input = { id: this.id, reason, ...(forMs === undefined ? {} : { forMs }) };
    return this.#told(this.#link.services.sandboxes.touchSandbox(input, keyOf(options)));
  }

  /** More spend or more time; clamped by policy and by what remains of the job. */
  extend({ addSpendMicros, addTtlMs, ...options }: ExtendOptions): Promise<SandboxState> {
    const more = {
      ...(addSpendMicros === undefined ? {} : { addSpendMicros }),
      ...(addTtlMs === undefined ? {} : { addTtlMs }),
    };
    return this.#told(this.#link.services.sandboxes.extendSandbox({ id: this.id, ...more }, keyOf(options)));
  }

  /** Ends the machine now; what was paid and not used is given back by the second, minus the one in progress. */
  stop(options?: Keyed): Promise<SandboxState> {
    return this.#told(this.#link.services.sandboxes.stopSandbox({ id: this.id }, keyOf(options)));
  }

  /** Stops it and removes everything of it. */
  destroy(options?: Keyed): Promise<SandboxState> {
    return this.#told(this.#link.services.sandboxes.destroySandbox({ id: this.id }, keyOf(options)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state?.status === SandboxStatus.ENDED) return;
    try {
      await this.destroy();
    } catch (fault) {
      if (!(fault instanceof ApiError && GONE.has(fault.code))) throw fault;
    }
  }

  async #told(answer: Promise<SandboxState>): Promise<SandboxState> {
    this.#state = await answer;
    return this.#state;
  }
}

const GONE: ReadonlySet<string> = new Set(['sandbox_ended', 'not_found', 'nothing_to_change']);
