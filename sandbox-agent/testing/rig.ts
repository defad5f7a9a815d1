/**
 * What several tests need: a ground of their own, sandboxes that end with the test, tickets, and looks at the host.
 * Promise: everything a test makes here is gone when the test is over.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Envelope, RUN_TICKET_TYPE, type RunTicket, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import { type Ground, prepareGround, removeGround } from '../warden/ground.ts';
import type { GuestRuntime } from '../warden/guest-build.ts';
import type { Level } from '../warden/image.ts';
import type { Runsc } from '../warden/runsc.ts';
import { Sandbox, type Shape } from '../warden/sandbox.ts';

const START_ROOM_MS = 10_000;

export const leaseKey = signingKeyFromSeed(Buffer.alloc(32, 11));
export const callerKey = signingKeyFromSeed(Buffer.alloc(32, 12));
export const SHAPE: Shape = {
  cpuMillis: 1_000,
  memoryBytesMax: 192 << 20,
  pidsMax: 64,
  diskBytesMax: 32 << 20,
};

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'tally-agent-'));
}

/** TALLY_WARDEN_GUEST, as a warden reads it, so that a whole suite can be run on either. */
function guestOfTests(): GuestRuntime | undefined {
  const named = process.env['TALLY_WARDEN_GUEST'];
  return named === 'bun' || named === 'node' ? named : undefined;
}

export interface OwnGround {
  ground: Ground;
  folder: string;
  remove(): Promise<void>;
}

export async function ownGround(level: Level = 'ns', runsc?: Runsc): Promise<OwnGround> {
  const folder = temporaryFolder();
  const ground = await prepareGround(folder, level, runsc, guestOfTests());
  const remove = async (): Promise<void> => {
    await removeGround(ground, folder);
    rmSync(folder, { recursive: true, force: true });
  };
  return { ground, folder, remove };
}

export async function groundFor(context: TestContext): Promise<Ground> {
  const own = await ownGround();
  context.after(own.remove);
  return own.ground;
}

export async function sandboxOn(ground: Ground, index = 0, shape: Partial<Shape> = {}): Promise<Sandbox> {
  const sandbox = await Sandbox.launch(ground, `s${index}`, ground.hostUidFirst + index, { ...SHAPE, ...shape });
  return sandbox.ready();
}

export interface InsideResult {
  end: Record<string, unknown>;
  out: string;
  err: string;
}

/** Runs to the end and returns everything; for short outputs. */
export function execInside(sandbox: Sandbox, argv: string[], timeoutMs = 20_000): Promise<InsideResult> {
  const { promise, resolve } = Promise.withResolvers<InsideResult>();
  const texts = { 1: '', 2: '' };
  const done = (end: Record<string, unknown>): void => resolve({ end, out: texts[1], err: texts[2] });
  const call = sandbox.link.open(
    'exec',
    { argv, timeoutMs, hasStdin: false },
    {
      onBytes: (stream, bytes) => {
        texts[stream] += bytes;
        call.credit(bytes.length);
      },
      onEnd: done,
      onFault: (code) => done({ fault: code }),
      onLost: () => done({ fault: 'lost' }),
    },
  );
  return promise;
}

/** Runs a shell line inside and returns what it printed, both streams, with how it ended. */
export async function inside(sandbox: Sandbox, line: string): Promise<string> {
  const { end, out, err } = await execInside(sandbox, ['sh', '-c', line]);
  return `${out}${err}[${end['end'] === 'exited' ? `exit ${end['code']}` : (end['end'] ?? end['fault'])}]`;
}

/** Paid for `paidMs` from ready; the wall clock leaves room for the start. */
export const slackTicket = (paidMs: number): Envelope =>
  ticketOf(paidMs, { paid_until_us: String((Date.now() + paidMs + START_ROOM_MS) * 1_000) });

/** Paid for `paidMs` from now, by the wall clock and as duration. */
export function ticketOf(paidMs: number, changes: Partial<RunTicket> = {}, nowMs = Date.now()): Envelope {
  const ticket: RunTicket = {
    sandbox: 's0',
    incarnation: 1,
    seq: 1,
    minutes: 1,
    starts_at_us: '0',
    paid_until_us: String(Math.round((nowMs + paidMs) * 1_000)),
    duration_ms: paidMs,
    price_micros: '1000',
    job: 'job_1',
    receipt: 'rcp_1',
    receipt_hash: '0'.repeat(64),
    final: false,
    ...changes,
  };
  return signEnvelope(RUN_TICKET_TYPE, { ...ticket }, leaseKey);
}

export interface HostCount {
  processes: number;
  mounts: number;
  loops: number;
  cgroups: number;
  entries: number;
}

function hasSandboxUid(pid: string, ground: Ground): boolean {
  try {
    const uid = Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    return uid >= ground.hostUidFirst && uid < ground.hostUidFirst + 1_000;
  } catch {
    return false;
  }
}

const linesWith = (text: string, part: string): number => text.split('\n').filter((line) => line.includes(part)).length;

/** What of this ground's sandboxes the host sees. */
export function hostCount(ground: Ground): HostCount {
  const slice = readdirSync(join(ground.layout.tree, ground.slice), { withFileTypes: true });
  return {
    processes: readdirSync('/proc').filter((name) => /^\d+$/.test(name) && hasSandboxUid(name, ground)).length,
    mounts: linesWith(readFileSync('/proc/self/mountinfo', 'utf8'), `${ground.sandboxes}/`),
    loops: linesWith(execFileSync('losetup', ['-a'], { encoding: 'utf8' }), ground.sandboxes),
    cgroups: slice.filter((entry) => entry.isDirectory()).length,
    entries: readdirSync(ground.sandboxes).length,
  };
}

/** Waits until `isTrue`, at most `timeoutMs`; returns how long it took. @errors rejects when time is up */
export async function until(isTrue: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<number> {
  const startedAtMs = performance.now();
  while (!(await isTrue())) {
    if (performance.now() - startedAtMs > timeoutMs) throw new Error(`still not so after ${timeoutMs} ms: ${isTrue}`);
    await sleep(2);
  }
  return performance.now() - startedAtMs;
}

export function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
}
