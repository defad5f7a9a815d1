/**
 * A warden as a process of its own, and a plain client of its socket, for tests.
 * Promise: when the test is over the warden, its reaper and its folder are gone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  CALLER_TICKET_TYPE,
  type CallerTicket,
  type Envelope,
  type SigningKey,
  signEnvelope,
} from '@tallystick/kernel';
import { CALLER_VERBS } from '../warden/access.ts';
import { IMAGE_VERSION } from '../warden/admission.ts';
import type { WardenEvent } from '../warden/events.ts';
import { callerKey, isGone, leaseKey, temporaryFolder, ticketOf, until } from './rig.ts';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every route
  json: any;
}

export interface WardenProcess {
  process: ChildProcess;
  folder: string;
  reaperPid: number;
  ready: { boot_id: string; public_key: string };
  call(method: string, path: string, body?: object | Buffer, headers?: Record<string, string>): Promise<Answer>;
  create(paidMs: number, changes?: object, ticket?: Envelope): Promise<Answer>;
  events(): Promise<WardenEvent[]>;
  has(event: string): Promise<boolean>;
  /** The cgroup v2 directory of the sandbox s0. */
  tree: string;
}

export function authorization(
  audience: string,
  changes: Partial<CallerTicket> = {},
  key: SigningKey = callerKey,
): string {
  const exp_us = String((Date.now() + 60_000) * 1_000);
  const any = { aud: audience, sandbox: '*', incarnation: 0, verbs: [...CALLER_VERBS], exp_us, jti: 'test' };
  const envelope = signEnvelope(CALLER_TICKET_TYPE, { ...any, ...changes }, key);
  return `Tally ${Buffer.from(JSON.stringify(envelope)).toString('base64')}`;
}

export function callSocket(
  socketPath: string,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: object | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, headers, agent: false }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const isJson = /json/.test(response.headers['content-type'] ?? '');
      const json = isJson ? JSON.parse(bytes.toString()) : undefined;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, json });
    });
    sent.on('error', reject);
    sent.end(body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  });
}

export const specOf = (changes: object = {}): object => ({
  sandbox: 's0',
  incarnation: 1,
  image: IMAGE_VERSION,
  cpu_millis: 1_000,
  memory_mib: 192,
  disk_mib: 32,
  pids_max: 64,
  grace_ms: 60_000,
  ...changes,
});

function reaperOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  const reaper = children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('reaper.ts'));
  return Number(reaper);
}

const WARDEN = join(import.meta.dirname, '..', 'warden', 'main.ts');

/** A test that wants something to stand ready says so. */
const NOTHING_AHEAD = ['--warm', '0', '--spare', '0'];

export function spawnWarden(folder: string, more: string[] = []): ChildProcess {
  const keys = [leaseKey, callerKey].map((key) => key.publicKey.toString('base64'));
  const options = ['--folder', join(folder, 'state'), '--socket', join(folder, 'w.sock')];
  const flags = [...options, '--lease-key', `${keys[0]}`, '--caller-key', `${keys[1]}`, ...NOTHING_AHEAD, ...more];
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WARDEN, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function end(warden: ChildProcess, reaperPid: number): Promise<void> {
  if (warden.exitCode === null && warden.signalCode === null) {
    warden.kill('SIGCONT');
    warden.kill('SIGTERM');
    await once(warden, 'exit');
  }
  await until(() => isGone(reaperPid));
}

export async function wardenFor(
  context: TestContext,
  inFolder = temporaryFolder(),
  more: string[] = [],
): Promise<WardenProcess> {
  const warden = spawnWarden(inFolder, more);
  let complaint = '';
  warden.stderr?.on('data', (bytes) => {
    complaint += bytes;
  });
  const died = once(warden, 'exit').then(() => Promise.reject(new Error(`warden: ${complaint}`)));
  const [line] = await Promise.race([once(warden.stdout as NodeJS.ReadableStream, 'data'), died]);
  died.catch(() => {});
  const ready = JSON.parse(String(line));
  const reaperPid = reaperOf(warden.pid as number);
  context.after(async () => {
    await end(warden, reaperPid);
    rmSync(inFolder, { recursive: true, force: true });
  });
  const call: WardenProcess['call'] = (method, path, body, headers = {}) => {
    const all = { authorization: authorization(ready.public_key), ...headers };
    return callSocket(join(inFolder, 'w.sock'), method, path, all, body);
  };
  const events = async (): Promise<WardenEvent[]> => (await call('GET', '/v1/events')).json.events;
  return {
    process: warden,
    folder: inFolder,
    reaperPid,
    ready,
    call,
    events,
    has: async (event) => (await events()).some((one) => one.event === event),
    create: (paidMs, changes = {}, ticket = ticketOf(paidMs)) =>
      call('POST', '/v1/sandboxes', { ...specOf(changes), ticket }),
    get tree() {
      const [name = ''] = readdirSync(join(inFolder, 'state', 'deadlines')).filter((entry) => entry.startsWith('s0.'));
      return JSON.parse(readFileSync(join(inFolder, 'state', 'deadlines', name), 'utf8')).tree;
    },
  };
}
