/**
 * A real warden with sandboxes whose paid time ends again and again, and a clock inside each that tells when it stood.
 * Promise: what the tenant saw comes from inside the sandbox, what the warden did from its own list of events.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localProvider, type Provider, type ProviderEvent } from '@tallystick/engine/adapters/provider';
import { type Envelope, RUN_TICKET_TYPE, type RunTicket, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import { WARDEN_PROGRAM } from '@tallystick/sandbox-agent';

/** The paid time alone ends a lease here; the duration only has to be longer. */
const DURATION_MS = 3_600_000;
const GRACE_MS = 60_000;
const EVENTS_WAIT_MS = 1_000;
const OUTPUT_BYTES_MAX = 1 << 20;
const US_PER_MS = 1_000;
const key = signingKeyFromSeed(Buffer.alloc(32, 6));

/** Spins without rest; whenever it stood for more than 150 ms it prints the moments before and after, microseconds. */
// biome-ignore-start lint/suspicious/noTemplateCurlyInString: it is bash that reads them
const CLOCK = [
  '/usr/bin/bash',
  '-c',
  'l=${EPOCHREALTIME/[.,]/}; while :; do n=${EPOCHREALTIME/[.,]/}; ((n-l>150000)) && echo $l $n; l=$n; done',
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: as above
const CLOCK_EXEC = 'clock';

export interface Machine extends AsyncDisposable {
  provider: Provider;
  /** Every event of the warden since its start, in order; grows by `follow`. */
  events: ProviderEvent[];
}

/** @errors rejects when the warden does not start: it needs root, cgroups and bubblewrap. */
export async function startMachine(): Promise<Machine> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-lease-'));
  const socketPath = join(folder, 'w.sock');
  const publicKey = key.publicKey.toString('base64');
  const flags = ['--folder', join(folder, 'warden'), '--socket', socketPath];
  const keys = ['--lease-key', publicKey, '--caller-key', publicKey];
  const warden = spawn(process.execPath, [WARDEN_PROGRAM, ...flags, ...keys], { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([
    once(warden.stdout, 'data'),
    once(warden, 'exit').then(() => Promise.reject(new Error('the warden did not start'))),
  ]);
  const provider = localProvider({ socketPath, callerKey: key });
  return {
    provider,
    events: [],
    async [Symbol.asyncDispose]() {
      await provider.close();
      await endProcess(warden);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/** Paid from now for `paidMs`, by the wall clock. */
function ticketFor(sandbox: string, seq: number, paidMs: number): Envelope {
  const ticket: RunTicket = {
    sandbox,
    incarnation: 1,
    seq,
    minutes: seq,
    starts_at_us: '0',
    paid_until_us: String(Math.round((Date.now() + paidMs) * US_PER_MS)),
    duration_ms: DURATION_MS,
    price_micros: '1',
    job: 'job_bench',
    receipt: 'rcp_bench',
    receipt_hash: '0'.repeat(64),
    final: false,
  };
  return signEnvelope(RUN_TICKET_TYPE, { ...ticket }, key);
}

/** A running sandbox with its clock in it. */
export async function openMachine({ provider }: Machine, sandbox: string, paidMs: number): Promise<void> {
  const shape = { cpu_millis: 1_000, memory_mib: 128, disk_mib: 16, pids_max: 32 };
  const spec = { sandbox, incarnation: 1, image: 'sandbox-base:v1.0.0', grace_ms: GRACE_MS, ...shape };
  await provider.create(spec, ticketFor(sandbox, 1, paidMs));
  await provider.startExec(sandbox, { exec_id: CLOCK_EXEC, argv: CLOCK });
}

export async function renew({ provider }: Machine, sandbox: string, seq: number, paidMs: number): Promise<void> {
  await provider.renew(sandbox, ticketFor(sandbox, seq, paidMs));
}

/** Reads on in the warden's list; resolves soon also when nothing happened. */
export async function follow(machine: Machine): Promise<ProviderEvent[]> {
  const page = await machine.provider.events(machine.events.at(-1)?.seq ?? 0, EVENTS_WAIT_MS);
  machine.events.push(...page.events);
  return page.events;
}

/** A stretch during which nothing ran inside, microseconds since 1970. */
export interface Gap {
  lastUs: number;
  nextUs: number;
}

/** What the clock inside printed so far. */
export async function gapsOf({ provider }: Machine, sandbox: string): Promise<Gap[]> {
  const { chunks } = await provider.output(sandbox, CLOCK_EXEC, { maxBytes: OUTPUT_BYTES_MAX });
  const text = Buffer.concat(chunks.map(({ bytes }) => bytes)).toString();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ').map(Number))
    .map(([lastUs, nextUs]) => ({ lastUs: lastUs!, nextUs: nextUs! }));
}

/** So many processes outside of every sandbox that take all the CPU they can get. */
export function startSpinners(count: number): Disposable {
  const spinners = Array.from({ length: count }, () => spawn('/bin/sh', ['-c', 'while :; do :; done']));
  return {
    [Symbol.dispose]() {
      for (const spinner of spinners) spinner.kill('SIGKILL');
    },
  };
}
