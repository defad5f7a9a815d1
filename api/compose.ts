/**
 * The api program, wired: engine, provider, handlers, surfaces.
 * Promise: the only place where the parts of this program meet.
 */
import { createEngine, type Engine, readStream, streamReader } from '@tallystick/engine';
import { ChainLink } from '@tallystick/engine/adapters/chain';
import { localProvider, type Provider } from '@tallystick/engine/adapters/provider';
import { openDatabase } from '@tallystick/engine/database';
import type { SettingError } from '@tallystick/engine/program';
import type { SandboxState } from '@tallystick/hosting';
import { logKeyFromSeed, signingKeyFromSeed } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import {
  type Authenticate,
  attachLive,
  createDispatch,
  createRestServer,
  type LogFault,
  registerOpenapi,
  registerRest,
} from '@tallystick/surface';
import type { Logger } from 'pino';
import { authenticate } from './authenticate.ts';
import { signatureJudge } from './contract-signatures.ts';
import type { Desk } from './deposits/desk.ts';
import { openRail } from './deposits/rail.ts';
import { registerFrontPage } from './front-page.ts';
import { openGenesis } from './genesis.ts';
import { adminHandlers } from './handlers/admin.ts';
import { billingHandlers } from './handlers/billing.ts';
import { depositHandlers } from './handlers/deposits.ts';
import { egressHandlers } from './handlers/egress.ts';
import { execHandlers } from './handlers/execs.ts';
import { fileHandlers } from './handlers/files.ts';
import { fundsHandlers } from './handlers/funds.ts';
import { jobHandlers } from './handlers/jobs.ts';
import { loginHandlers } from './handlers/login.ts';
import { pathHandlers } from './handlers/paths.ts';
import { policyHandlers } from './handlers/policy.ts';
import { portHandlers } from './handlers/ports.ts';
import { quoteHandlers } from './handlers/quotes.ts';
import { receiptHandlers } from './handlers/receipts.ts';
import { sandboxHandlers } from './handlers/sandboxes.ts';
import { secretHandlers } from './handlers/secrets.ts';
import { snapshotHandlers } from './handlers/snapshots.ts';
import { walletHandlers } from './handlers/wallet.ts';
import { watchHandlers } from './handlers/watches.ts';
import { withdrawalHandlers } from './handlers/withdrawals.ts';
import { type Check, registerHealth } from './health.ts';
import { openTopic } from './live-topics.ts';
import { outageTold, toldAsOutage } from './outage.ts';
import { recordPortActivity } from './ports/activity.ts';
import { linkSigner } from './ports/link.ts';
import { listenForPorts } from './ports/listener.ts';
import { assertSettles, type GasGauge, gasGauge } from './quotes/gas.ts';
import type { Till } from './quotes/till.ts';
import { createRateLimits, limitAddresses, limitedDispatch } from './rate-limits.ts';
import type { ApiSettings } from './settings.ts';
import { siteRule } from './site.ts';
import { type WatchActivity, watchActivity } from './watch-activity.ts';

const OPENAPI_INFO = { title: 'Tallystick', version: '0.1.0' };

export interface Api extends AsyncDisposable {
  url: string;
  /** Where the ports of sandboxes are reached. */
  portsUrl: string;
  /** Resolves when the chain turns out not to be what the settings say: the program must end. Else never. */
  refused: Promise<SettingError>;
}

/** @errors rejects with SettingError when the chain that is set is not what the settings say */
export async function startApi(settings: ApiSettings, log: Logger): Promise<Api> {
  const url = process.env['DATABASE_URL'];
  const database = await openDatabase(url ? { url } : { folder: settings.dataFolder });
  const logKey = logKeyFromSeed(settings.origin, settings.logSeed);
  const engine = createEngine({ database, role: 'api', rules: RULES, logKey });
  const stopWatching = engine.watchHead();
  await openGenesis(engine, [settings.provider]);
  const link = await linkOf(settings, engine);
  const reach = (): Provider =>
    localProvider({ socketPath: settings.wardenSocket, callerKey: signingKeyFromSeed(settings.callerSeed) });
  const [provider, watching] = [reach(), reach()];
  const activity = watchActivity(engine);
  const desk = link && settings.chain && { engine, link, settings: settings.chain };
  const end = new AbortController();
  const opening = link?.open(end.signal);
  const gas = settings.till && desk && gasGauge(desk.link, settings.till.relayer);
  const server = await serve(settings, { engine, provider, watching, activity, desk, gas }, log);
  return {
    url: server.url,
    portsUrl: server.portsUrl,
    refused: link?.refused ?? new Promise(() => undefined),
    async [Symbol.asyncDispose]() {
      end.abort();
      await server.close();
      await opening;
      await stopWatching();
      await engine[Symbol.asyncDispose]();
      await Promise.all([provider.close(), watching.close()]);
    },
  };
}

interface Parts {
  engine: Engine;
  provider: Provider;
  /** The same machine over connections of its own: whoever waits for output holds up nobody's commands. */
  watching: Provider;
  activity: WatchActivity;
  desk: Desk | undefined;
  /** Undefined where nobody carries payments to a chain. */
  gas: GasGauge | undefined;
}

/** Undefined where no chain is set. */
async function linkOf({ chain }: ApiSettings, engine: Engine): Promise<ChainLink | undefined> {
  const link = chain && new ChainLink(chain.config, (found) => openRail(engine, found));
  await link?.check();
  return link;
}

async function serve(
  settings: ApiSettings,
  parts: Parts,
  log: Logger,
): Promise<{ url: string; portsUrl: string; close(): Promise<void> }> {
  const { engine } = parts;
  const logFault: LogFault = (fault, traceId) => log.error({ fault, traceId }, 'a request failed in a way it must not');
  const check: Authenticate = (credential) => toldAsOutage(() => authenticate(engine, settings.admins, credential));
  const links = linkSigner(settings.callerSeed);
  const listener = await listenForPorts({
    sandboxOf: async (id) => (await readStream(engine, `sandbox:${id}`))?.state as unknown as SandboxState | undefined,
    nowUs: () => engine.nowUs(),
    recordActivity: (passage) => recordPortActivity(engine, passage),
    provider: parts.provider,
    authenticate: check,
    links,
    ...settings.ports,
    onFault: (fault) => log.error({ fault: String(fault) }, 'the listener for ports could not ask or record'),
  });
  const limits = createRateLimits(settings.ratesPerMinute);
  const dispatch = limitedDispatch(
    createDispatch({
      implementations: [...implementations(settings, parts), portHandlers({ engine, links, listener })].map(outageTold),
      authenticate: check,
    }),
    limits,
  );
  const app = createRestServer(logFault);
  limitAddresses(app, dispatch.operations, limits);
  registerRest(app, dispatch, { log: logFault });
  registerOpenapi(app, dispatch, OPENAPI_INFO);
  registerHealth(app, { engine, provider: parts.provider, advisory: chainChecks(settings, parts) });
  registerFrontPage(app, { ...OPENAPI_INFO, portsUrl: listener.url });
  const live = attachLive(app.server, {
    authenticate: check,
    open: (topic, principal) =>
      openTopic({ engine, provider: parts.watching, activity: parts.activity }, topic, principal),
    log: (fault) => log.error({ fault }, 'a live connection failed'),
  });
  const url = await app.listen({ host: settings.host, port: settings.port });
  return {
    url,
    portsUrl: listener.url,
    async close() {
      await listener[Symbol.asyncDispose]();
      await live[Symbol.asyncDispose]();
      await app.close();
    },
  };
}

/** Without gas payments are not settled; everything else goes on. */
const chainChecks = ({ till }: ApiSettings, { gas }: Parts): Check[] =>
  till && gas ? [{ name: 'settlement', run: () => assertSettles(gas, till.relayer) }] : [];

function tillOf({ till, publicUrl }: ApiSettings, { desk, gas }: Parts): Till | undefined {
  const look = desk && streamReader(desk.engine);
  return till && desk && gas && look && { desk, gas, look, leastMicros: till.leastMicros, publicUrl };
}

function implementations(settings: ApiSettings, parts: Parts) {
  const { engine, provider, watching, activity, desk } = parts;
  const { development, chainIds, admins, leaseKeys, quantumMsDefault, graceMs, provider: providerName } = settings;
  const till = tillOf(settings, parts);

  return [
    loginHandlers({
      engine,
      chainIds,
      admins,
      siteOf: siteRule(settings.host, settings.publicUrl),
      judge: desk && signatureJudge(desk.link),
    }),
    billingHandlers({ engine, development, desk }),
    depositHandlers(desk),
    walletHandlers({ development, desk }),
    withdrawalHandlers({
      engine,
      desk,
      sends: settings.withdrawals,
      minMicros: settings.withdrawalMinMicros,
      reserveMicros: settings.withdrawalReserveMicros,
      siteOf: siteRule(settings.host, settings.publicUrl),
    }),
    jobHandlers(engine),
    quoteHandlers(engine, till),
    sandboxHandlers({ engine, provider, providerName, quantumMsDefault, graceMs, till }),
    execHandlers({ engine, provider, watching, till }),
    fileHandlers(engine, provider),
    pathHandlers(engine, provider),
    watchHandlers({ engine, provider, watching, activity }),
    secretHandlers(engine, provider),
    egressHandlers({ engine, provider, watching }),
    snapshotHandlers(engine),
    receiptHandlers({ engine, leaseKeys }),
    policyHandlers(engine, {
      minMicros: settings.withdrawalMinMicros,
      reserveMicros: settings.withdrawalReserveMicros,
    }),
    adminHandlers(engine),
    fundsHandlers(desk),
  ];
}
