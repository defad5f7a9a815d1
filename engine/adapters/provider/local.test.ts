/** The local provider keeps the contract against a real warden, at each level that this machine can enforce. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { signingKeyFromSeed } from '@tallystick/kernel';
import { type ContractRig, providerContract } from './contract.ts';
import { localProvider } from './local.ts';
import { ProviderFault } from './port.ts';

const leaseKey = signingKeyFromSeed(Buffer.alloc(32, 2));
const callerKey = signingKeyFromSeed(Buffer.alloc(32, 3));
/** Nothing is paid for a start; a loaded machine may take its time. */
const START_MS_MAX = 5_000;
const WARDEN = join(import.meta.dirname, '..', '..', '..', 'sandbox-agent', 'warden', 'main.ts');

async function wardenOn(
  folder: string,
  level: string,
): Promise<{ process: ChildProcess; ready: { public_key: string } }> {
  const keys = ['--lease-key', leaseKey.publicKey.toString('base64')];
  const callers = ['--caller-key', callerKey.publicKey.toString('base64')];
  const where = ['--folder', join(folder, 'state'), '--socket', join(folder, 'w.sock')];
  const warden = spawn(process.execPath, [WARDEN, '--isolation', level, ...where, ...keys, ...callers], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let complaint = '';
  warden.stderr.on('data', (bytes) => {
    complaint += bytes;
  });
  const line = await Promise.race([
    once(warden.stdout, 'data').then(([bytes]) => String(bytes)),
    once(warden, 'exit').then(() => Promise.reject(new Error(`warden: ${complaint}`))),
  ]);
  return { process: warden, ready: JSON.parse(line) };
}

/** Why a level cannot be tested here, as its own warden says; undefined when it can. */
async function reasonAgainst(level: string): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-local-'));
  try {
    const { process: warden } = await wardenOn(folder, level);
    warden.kill('SIGTERM');
    await once(warden, 'exit');
    return undefined;
  } catch (fault) {
    const { message } = fault as Error;
    if (message.includes('"cannot_isolate"')) return message;
    throw fault;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function contractAt(level: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'tally-local-'));
  let warden: ChildProcess;
  let rig: ContractRig;
  before(async () => {
    const made = await wardenOn(folder, level);
    warden = made.process;
    const provider = localProvider({ socketPath: join(folder, 'w.sock'), callerKey, audience: made.ready.public_key });
    rig = { provider, leaseKey, nowMs: Date.now, startMsMax: START_MS_MAX, pass: (ms) => sleep(ms) };
  });
  after(async () => {
    await rig?.provider.close();
    if (warden?.exitCode === null) {
      warden.kill('SIGTERM');
      await once(warden, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  });

  providerContract(() => rig);

  test(`it says that it isolates at ${level}`, async () => {
    assert.equal((await rig.provider.descriptor()).isolation, level);
  });

  test('another key may not call, and the warden tells its audience to who does not know it', async () => {
    const socketPath = join(folder, 'w.sock');
    const stranger = localProvider({ socketPath, callerKey: leaseKey });
    const isRefused = (fault: unknown) => fault instanceof ProviderFault && fault.code === 'bad_caller_ticket';
    await assert.rejects(stranger.list(), isRefused);
    const friend = localProvider({ socketPath, callerKey });
    assert.ok(Array.isArray(await friend.list()));
    await Promise.all([stranger.close(), friend.close()]);
  });

  test('no warden at the socket is unreachable', async () => {
    const nobody = localProvider({ socketPath: join(folder, 'none.sock'), callerKey });
    await assert.rejects(nobody.list(), (fault) => fault instanceof ProviderFault && fault.kind === 'unreachable');
  });
}

describe('local provider at ns', () => contractAt('ns'));

const withoutGvisor = await reasonAgainst('gvisor');
describe('local provider at gvisor', { skip: withoutGvisor ?? false }, () => contractAt('gvisor'));
