/**
 * What a meter does with a chain, wired: transactions carried and followed, deposit addresses swept, gas watched.
 * Promise: a chain that is away is asked again, and what waits for it waits in the database.
 */
import { type Engine, runOutbox } from '@tallystick/engine';
import {
  affordableSettlements,
  type Chain,
  type ChainLink,
  type ChainSettings,
  type RoleSigner,
  roleSigner,
} from '@tallystick/engine/adapters/chain';
import { SettingError } from '@tallystick/engine/program';
import { BROADCAST_TOPIC } from '@tallystick/treasury';
import type { Logger } from 'pino';
import { Broadcaster } from './broadcaster.ts';
import { Poke } from './poke.ts';
import { Sweeper } from './sweeper.ts';

/** Sent again after so many looks without a block, within the limits. */
const RESEND_LOOKS = 8;
const RESEND_MS_MIN = 1_000;
const RESEND_MS_MAX = 20_000;
/** Addresses are looked through once in so many looks, within the limits. */
const SWEEP_LOOKS = 100;
const SWEEP_MS_MIN = 1_000;
const SWEEP_MS_MAX = 60_000;
/** With nothing under way; whatever becomes ready pokes. */
const IDLE_MS = 1_000;
const GAS_EVERY_MS = 60_000;
/** Fewer settlements than this left, and the log says so. */
const SETTLEMENTS_FEW = 100n;

/** The keys that only the meter has, and what it may do with them. */
export interface ChainKeys {
  /** 32 bytes; undefined: nobody carries payments and sweeps. */
  relayerSeed: Buffer | undefined;
  /** 32 bytes; undefined: nothing is paid out. */
  treasurySeed: Buffer | undefined;
  /** A deposit address that holds less is not swept. */
  sweepMinMicros: bigint;
  /** A transaction that waits for longer is replaced by a dearer one. */
  bumpMs: number;
}

export interface ChainLoopsOptions {
  engine: Engine;
  link: ChainLink;
  settings: ChainSettings;
  keys: ChainKeys;
  /** Poked when something left or was mined. */
  watcher: Poke;
  log: Logger;
}

/** @errors throws SettingError when a key is not the one that the settings say, before anything is started */
export function assertChainKeys(places: ChainSettings['config'], keys: ChainKeys): void {
  try {
    signersOf({ chainId: 1, config: places }, keys);
  } catch (fault) {
    throw new SettingError((fault as Error).message, { cause: fault });
  }
}

/** All of them run until the signal aborts. */
export function chainLoops(options: ChainLoopsOptions, signal: AbortSignal): Promise<void>[] {
  const { engine, link, settings, keys, log } = options;
  const [poke, sweeping] = [new Poke(), new Poke()];
  const broadcaster = once(async () => broadcasterOn(await link.chain(), options, { poke, sweeping }));
  const sweeper = once(
    async () => new Sweeper({ engine, chain: await link.chain(), minMicros: keys.sweepMinMicros, log }),
  );
  const sweepMs = within(settings.pollMs * SWEEP_LOOKS, SWEEP_MS_MIN, SWEEP_MS_MAX);
  const carry = {
    [BROADCAST_TOPIC]: async ({ body }: { body: { stream?: unknown } }) =>
      (await broadcaster()).carry(String(body.stream)),
  };
  const follow = async (): Promise<number> => {
    const carrying = await broadcaster();
    await carrying.look();
    return carrying.isIdle ? Math.max(settings.pollMs, IDLE_MS) : settings.pollMs;
  };
  const sweep = async (): Promise<number> => {
    await (await sweeper()).look();
    return sweepMs;
  };
  const watchGas = async (): Promise<number> => {
    await warnOfGas(await link.chain(), options);
    return GAS_EVERY_MS;
  };
  const onError = (fault: unknown): void => log.warn({ fault: String(fault) }, 'a transaction will be carried again');
  return [
    runOutbox(engine, carry, { signal, onError }),
    rounds({ what: 'transactions', poke, everyMs: settings.pollMs, log }, follow, signal),
    ...(keys.relayerSeed
      ? [
          rounds({ what: 'sweeps', poke: sweeping, everyMs: sweepMs, log }, sweep, signal),
          rounds({ what: 'gas', poke: new Poke(), everyMs: GAS_EVERY_MS, log }, watchGas, signal),
        ]
      : []),
  ];
}

function broadcasterOn(
  chain: Chain,
  { engine, settings, keys, watcher, log }: ChainLoopsOptions,
  { poke, sweeping }: { poke: Poke; sweeping: Poke },
): Broadcaster {
  const { pollMs, confirmations } = settings;
  const onNews = (): void => {
    watcher.poke();
    poke.poke();
  };
  const resendMs = within(pollMs * RESEND_LOOKS, RESEND_MS_MIN, RESEND_MS_MAX);
  const signers = signersOf(chain, keys);
  return new Broadcaster({
    engine,
    chain,
    signers,
    confirmations,
    resendMs,
    bumpMs: keys.bumpMs,
    onNews,
    onShort: () => sweeping.poke(),
    log,
  });
}

/** @errors throws Error when a key is not the one that the settings say */
function signersOf(
  { chainId, config: places }: Pick<Chain, 'chainId' | 'config'>,
  { relayerSeed, treasurySeed }: ChainKeys,
): RoleSigner[] {
  return [
    ...(relayerSeed ? [roleSigner({ role: 'relayer', seed: relayerSeed, chainId, places })] : []),
    ...(treasurySeed ? [roleSigner({ role: 'treasury', seed: treasurySeed, chainId, places })] : []),
  ];
}

async function warnOfGas(chain: Chain, { keys, log }: ChainLoopsOptions): Promise<void> {
  for (const { role, address } of signersOf(chain, keys)) {
    const left = await affordableSettlements(chain, address);
    if (left < SETTLEMENTS_FEW) log.warn({ role, address, transactions: String(left) }, 'little money for gas is left');
  }
}

interface Rounds {
  what: string;
  poke: Poke;
  everyMs: number;
  log: Logger;
}

/** One after another; each says how long to wait, `everyMs` after a fault; a fault is told once until it changes. */
async function rounds(
  { what, poke, everyMs, log }: Rounds,
  round: () => Promise<number>,
  signal: AbortSignal,
): Promise<void> {
  let lastFault = '';
  while (!signal.aborted) {
    let waitMs = everyMs;
    try {
      waitMs = await round();
      lastFault = '';
    } catch (fault) {
      const { message } = fault as Error;
      if (message !== lastFault) log.warn({ what, fault: message }, 'the chain could not be served; tried again');
      lastFault = message;
    }
    await poke.wait(waitMs, signal);
  }
}

/** What failed is tried again at the next call. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((fault: unknown) => {
      made = undefined;
      throw fault;
    });
    return made;
  };
}

const within = (value: number, min: number, max: number): number => Math.min(max, Math.max(min, value));
