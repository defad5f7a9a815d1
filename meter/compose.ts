/**
 * The meter program, wired: timers that sell minutes, the outbox that delivers them, reports that come back, deposits.
 * Promise: any number of these may run at once; each minute is sold once and each lease delivered at least once.
 */
import { createEngine, type Engine, runOutbox, runTimers, statusReader, ticketKeeper } from '@tallystick/engine';
import { ChainLink, type ChainSettings } from '@tallystick/engine/adapters/chain';
import { localProvider, type Provider } from '@tallystick/engine/adapters/provider';
import { openDatabase } from '@tallystick/engine/database';
import type { SettingError } from '@tallystick/engine/program';
import { logKeyFromSeed, signingKeyFromSeed } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import type { Logger } from 'pino';
import { DepositCommands } from './chain/deposit-commands.ts';
import { lapseForEver } from './chain/lapse.ts';
import { assertChainKeys, chainLoops } from './chain/loops.ts';
import type { MarkWish } from './chain/marks.ts';
import { Poke } from './chain/poke.ts';
import { openRail } from './chain/rail.ts';
import { watchForEver } from './chain/watcher.ts';
import { leaseHandlers, startHandlers } from './deliveries.ts';
import { reconcileForEver } from './reconcile.ts';
import { followReports } from './reports.ts';
import type { MeterSettings } from './settings.ts';
import { newContact } from './silence.ts';
import { reconcileSnapshots, snapshotHandlers, TAKE_LEASE_MS } from './snapshots.ts';

const TIMER_EVERY_MS = 25;

export interface Meter extends AsyncDisposable {
  /** Resolves when the chain turns out not to be what the settings say: the program must end. Else never. */
  refused: Promise<SettingError>;
}

/** @errors rejects with SettingError when the chain that is set is not what the settings say */
export async function startMeter(settings: MeterSettings, log: Logger): Promise<Meter> {
  const url = process.env['DATABASE_URL'];
  const database = await openDatabase(url ? { url } : { folder: settings.dataFolder });
  const logKey = logKeyFromSeed(settings.origin, settings.logSeed);
  const engine = createEngine({ database, role: 'meter', rules: RULES, logKey });
  const link = await linkOf(settings, engine);
  const stopWatching = engine.watchHead();
  const reach = (): Provider =>
    localProvider({ socketPath: settings.wardenSocket, callerKey: signingKeyFromSeed(settings.callerSeed) });
  const [provider, starting, keeping] = [reach(), reach(), reach()]; // each with connections of its own
  const parts = { engine, provider, providerName: settings.provider, contact: newContact(), log };
  const leases = {
    leaseKey: signingKeyFromSeed(settings.leaseSeed),
    keepTicket: ticketKeeper(engine),
    statusOf: statusReader(engine),
  };
  const watcher = new Poke();
  const wish: MarkWish = { upTo: -1n };
  const end = new AbortController();
  const { signal } = end;
  const onError = (fault: unknown): void => log.warn({ fault: String(fault) }, 'will be tried again');
  const loops = [
    runTimers(engine, { signal, everyMs: TIMER_EVERY_MS, onError }),
    runOutbox(engine, leaseHandlers({ ...parts, ...leases }), { signal, onError }),
    runOutbox(engine, startHandlers({ ...parts, provider: starting, ...leases }), { signal, onError }),
    followReports(parts, signal),
    reconcileForEver(parts, signal),
    runOutbox(engine, snapshotHandlers({ ...parts, provider: keeping }), { signal, onError, leaseMs: TAKE_LEASE_MS }),
    reconcileSnapshots({ ...parts, provider: keeping }, signal),
    ...(link && settings.chain
      ? [
          watchForEver(
            { engine, link, ...watching(settings.chain), chainIds: settings.chainIds, wish, poke: watcher, log },
            signal,
          ),
          ...chainLoops({ engine, link, settings: settings.chain, keys: settings.chainKeys, watcher, log }, signal),
          lapseForEver(link, { engine, confirmations: settings.chain.confirmations, wish, log }, signal),
        ]
      : []),
  ];
  return {
    refused: link?.refused ?? new Promise(() => undefined),
    async [Symbol.asyncDispose]() {
      end.abort();
      await Promise.all([provider.close(), starting.close(), keeping.close()]);
      await Promise.all(loops);
      await stopWatching();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** Undefined where no chain is set. */
async function linkOf({ chain, chainKeys }: MeterSettings, engine: Engine): Promise<ChainLink | undefined> {
  if (!chain) return undefined;
  assertChainKeys(chain.config, chainKeys);
  const link = new ChainLink(chain.config, (found) => openRail(new DepositCommands({ engine, chain: found }), found));
  await link.check();
  return link;
}

const watching = ({ confirmations, startBlock, pollMs }: ChainSettings) => ({
  confirmations,
  startBlock,
  everyMs: pollMs,
});
