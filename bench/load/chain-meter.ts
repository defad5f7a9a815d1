/**
 * The meter program with a chain of its own: an embedded one behind an endpoint, real keys, real rules, nothing in between.
 * Promise: the meter is the program that ships; the chain mines as fast as it is asked to.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createEngine, type Engine } from '@tallystick/engine';
import { type Chain, openChain, roleSigner } from '@tallystick/engine/adapters/chain';
import { startTestChain, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { migrate, openDatabase } from '@tallystick/engine/database';
import { type Command, type JsonObject, logKeyFromSeed } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';

const METER_PROGRAM = fileURLToPath(new URL('../../meter/main.ts', import.meta.url));
const ORIGIN = 'log.example/bench-payments';
const POLL_MS = '20';
const NOWHERE = `0x${'00'.repeat(20)}` as const;
/** Money that the development chain's keys begin with: enough for every transaction of a run. */
const NO_TOKENS = 0n;

const seedOf = (name: string): Buffer => createHash('sha256').update(`bench ${name}`).digest();

export interface ChainMeter extends AsyncDisposable {
  engine: Engine;
  test: TestChain;
  chain: Chain;
  treasury: `0x${string}`;
  /** @errors rejects when the rule says no */
  ask(stream: string, type: string, body: JsonObject, principal?: string): Promise<void>;
  /** Stops the meter where it is until the answer is called. */
  hold(): () => void;
}

/** Migrated, ledger open, keys with gas, meter at work. */
export async function startChainMeter(): Promise<ChainMeter> {
  const folder = mkdtempSync(join(tmpdir(), 'tally-payments-'));
  const treasury = addressOf('treasury');
  const [database, test] = [await openDatabase({ folder }), await startTestChain(treasury)];
  await migrate(database);
  const logKey = logKeyFromSeed(ORIGIN, seedOf('log'));
  const engine = createEngine({ database, role: 'meter', rules: RULES, logKey });
  const ask = asker(engine);
  await ask('ledger:platform', 'OpenLedger', { providers: [] });
  for (const name of ['treasury', 'relayer'])
    await test.chain.faucet.give({ to: addressOf(name), micros: NO_TOKENS, reference: name, withGas: true });
  const meter = await startMeter(folder, test);
  return {
    ...{ engine, test, treasury, ask },
    chain: await openChain(test.config),
    hold() {
      meter.kill('SIGSTOP');
      return () => meter.kill('SIGCONT');
    },
    async [Symbol.asyncDispose]() {
      meter.kill('SIGCONT');
      meter.kill('SIGTERM');
      await once(meter, 'exit');
      await engine[Symbol.asyncDispose]();
      await database.stop();
      await test[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function addressOf(name: string): `0x${string}` {
  const places = { token: NOWHERE, treasury: NOWHERE, factory: NOWHERE };
  return roleSigner({ role: 'relayer', seed: seedOf(name), chainId: 1, places }).address;
}

function asker(engine: Engine): ChainMeter['ask'] {
  let asked = 0;
  return async (stream, type, body, principal = 'platform') => {
    asked += 1;
    const command: Command = { principal, key: `bench ${asked}`, stream, type, body };
    const { rejection, facts } = await engine.execute(command);
    if (rejection) throw new Error(`${type} on ${stream}: ${rejection} ${JSON.stringify(facts)}`);
  };
}

async function startMeter(folder: string, { chain, config }: TestChain): Promise<ChildProcess> {
  const keyFile = (name: string): string => {
    const file = join(folder, `${name}.seed`);
    writeFileSync(file, seedOf(name).toString('base64'), { mode: 0o600 });
    return file;
  };
  const env = {
    ...process.env,
    TALLY_DATA: folder,
    TALLY_ORIGIN: ORIGIN,
    TALLY_WARDEN_SOCKET: join(folder, 'no-warden.sock'),
    TALLY_LOG_KEY_FILE: keyFile('log'),
    TALLY_LEASE_KEY_FILE: keyFile('lease'),
    TALLY_CALLER_KEY_FILE: keyFile('caller'),
    TALLY_CHAIN_IDS: String(chain.chainId),
    CHAIN_RPC_URL: config.rpcUrls.join(','),
    CHAIN_TOKEN: config.token,
    CHAIN_TOKEN_NAME: config.tokenName,
    CHAIN_TOKEN_VERSION: config.tokenVersion,
    CHAIN_TREASURY: config.treasury,
    CHAIN_FACTORY: config.factory,
    CHAIN_CONFIRMATIONS: '1',
    CHAIN_POLL_MS: POLL_MS,
    CHAIN_RELAYER_KEY_FILE: keyFile('relayer'),
    CHAIN_TREASURY_KEY_FILE: keyFile('treasury'),
  };
  const meter = spawn(process.execPath, [METER_PROGRAM], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  await once(meter.stdout!, 'data'); // its line of readiness
  return meter;
}
