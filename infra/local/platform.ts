/**
 * The whole platform on this machine: database, warden, meter and api as programs of their own.
 * Promise: everything keeps its data in one folder, and the next start goes on where the last one stopped.
 */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { addressOfRunning } from './already-running.ts';
import { chainEnvironment, chainKeySettings, chainProgram, type MoneySource, moneySource } from './chain.ts';
import { Child, type Program, type ReadyFacts } from './child.ts';
import { ensureKeys, type KeyFiles } from './keys.ts';
import { choosePorts, type Ports, rememberPorts } from './remembered-ports.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const RAW_KEY_BYTES = 32;

export interface PlatformOptions {
  /** Where everything is kept; made when missing. */
  folder: string;
  host?: string;
  /** 0: any free port; the answer says which. */
  port?: number;
  quantumMs?: number;
  graceMs?: number;
  /** Development deposits are allowed. */
  development: boolean;
  /** Accept an isolation level meant for development where the machine offers no better one. */
  allowLite?: boolean;
  /** `gvisor`, `ns`, `ns-lite` or `auto` (also when absent): refused where the machine cannot, never made weaker. */
  isolation?: string;
  onProgress?: (line: string) => void;
}

export interface Platform extends AsyncDisposable {
  url: string;
  /** Where the ports of sandboxes are reached. */
  portsUrl: string;
  isolation: string;
  database: string;
  money: MoneySource;
  /** The next start in this folder listens where this one does, if that place is free then. */
  isFoundAgain: boolean;
  pids: Record<string, number | undefined>;
  addressFile: string;
}

/**
 * Starts everything, in order.
 * @errors throws naming the program that did not come up and its log, or the address of the platform that runs here already
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const say = options.onProgress ?? (() => undefined);
  const run = prepareFolders(options.folder);
  const running = await addressOfRunning(join(run.folder, 'api.json'));
  if (running)
    throw new Error(
      `it runs already: ${running} (data in ${options.folder}); stop that one first, or give another folder with --data`,
    );
  const keys = ensureKeys(join(options.folder, 'keys'));
  const children: Child[] = [];
  const addressFile = join(run.folder, 'api.json');
  const facts: PlatformFacts = {
    ...{ url: '', portsUrl: '', isolation: '', database: '', addressFile },
    ...{ money: moneySource(options), isFoundAgain: options.port !== 0 },
  };
  const startProgram = async (program: Program): Promise<ReadyFacts> => {
    const child = new Child(program, (name) => {
      say(`${name} had died and runs again`);
      writeAddress(facts, children);
    });
    children.push(child);
    return child.start();
  };
  try {
    facts.database = String((await startProgram(databaseProgram(options)))['at']);
    say(`database ready: ${facts.database}`);
    facts.isolation = String((await startProgram(wardenProgram(options, run, keys)))['isolation']);
    say(`warden ready: isolation ${facts.isolation}`);
    const shared = {
      ...sharedEnvironment(options, run, keys),
      ...(await startChain(options, keys, startProgram, say)),
    };
    await startProgram(meterProgram(options, keys, shared));
    say('meter ready');
    const api = apiProgram(options, keys, shared);
    listenOn(api, await portsFor(options, say));
    const ready = await startProgram(api);
    facts.url = String(ready['url']);
    facts.portsUrl = String(ready['ports_url']);
    const ports = { api: Number(new URL(facts.url).port), sandboxes: Number(new URL(facts.portsUrl).port) };
    listenOn(api, ports); // a restart must be found where it was
    if (facts.isFoundAgain) rememberPorts(options.folder, ports);
    say(`api ready: ${facts.url}`);
    writeAddress(facts, children);
    return platformOf(children, facts, run);
  } catch (fault) {
    await stopAll(children);
    throw fault;
  }
}

/** What the others are told of it; nothing where another chain is set, or none. */
async function startChain(
  options: PlatformOptions,
  keys: KeyFiles,
  start: (program: Program) => Promise<ReadyFacts>,
  say: (line: string) => void,
): Promise<Record<string, string>> {
  const program = chainProgram({ ...options, keys, logFile: logFile(options, 'chain') });
  if (!program) return {};
  const ready = await start(program);
  program.env['TALLY_CHAIN_PORT'] = new URL(String(ready['url'])).port; // a restart must be found where it was
  say(`chain ready: ${ready['url']} (a development chain, id ${ready['chain_id']})`);
  return chainEnvironment(ready, keys);
}

type PlatformFacts = Omit<Platform, 'pids' | typeof Symbol.asyncDispose>;

const HOST_DEFAULT = '127.0.0.1';

const portsFor = ({ folder, host = HOST_DEFAULT, port: asked }: PlatformOptions, say: (line: string) => void) =>
  choosePorts(folder, { host, asked, onTaken: (port) => say(`port ${port} is taken by another program`) });

function listenOn(api: Program, ports: Ports): void {
  api.env['TALLY_PORT'] = String(ports.api);
  api.env['TALLY_PORTS_PORT'] = String(ports.sandboxes);
}

const pidsOf = (children: Child[]): Platform['pids'] =>
  Object.fromEntries(children.map((child) => [child.program.name, child.pid]));

/** For whoever looks for the platform of this folder, who finds the old line or the new one, never half of either. */
function writeAddress({ url, isolation, addressFile }: PlatformFacts, children: Child[]): void {
  writeFileSync(`${addressFile}.new`, `${JSON.stringify({ url, isolation, pids: pidsOf(children) })}\n`, {
    mode: 0o600,
  });
  renameSync(`${addressFile}.new`, addressFile);
}

function platformOf(children: Child[], facts: PlatformFacts, run: RunFolders): Platform {
  return {
    ...facts,
    get pids() {
      return pidsOf(children);
    },
    async [Symbol.asyncDispose]() {
      rmSync(facts.addressFile, { force: true });
      await stopAll(children);
      rmSync(dirname(run.wardenSocket), { recursive: true, force: true });
    },
  };
}

/** Last started, first stopped: nothing loses what it stands on. */
async function stopAll(children: Child[]): Promise<void> {
  for (const child of [...children].reverse()) await child[Symbol.asyncDispose]();
}

interface RunFolders {
  folder: string;
  logs: string;
  wardenSocket: string;
}

function prepareFolders(folder: string): RunFolders {
  const run = join(folder, 'run');
  const logs = join(folder, 'logs');
  for (const path of [folder, run, logs]) mkdirSync(path, { recursive: true, mode: 0o700 });
  // a unix socket's path may have 107 bytes at most
  const sockets = join(tmpdir(), `tally-${createHash('sha256').update(folder).digest('hex').slice(0, 8)}`);
  mkdirSync(sockets, { recursive: true, mode: 0o700 });
  assertOwn(sockets);
  return { folder: run, logs, wardenSocket: join(sockets, 'warden.sock') };
}

/** The name can be guessed, so somebody may have been first. @errors throws for a link or somebody else's folder */
function assertOwn(folder: string): void {
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.())
    throw new Error(`${folder} is not a folder of this user: remove it`);
  chmodSync(folder, 0o700);
}

/** Raw Ed25519 public key of a seed file, base64. */
function publicKeyOf(seedFile: string): string {
  const seed = Buffer.from(readFileSync(seedFile, 'utf8').trim(), 'base64');
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-RAW_KEY_BYTES).toString('base64');
}

const logFile = (options: PlatformOptions, name: string): string => join(options.folder, 'logs', `${name}.log`);

function databaseProgram(options: PlatformOptions): Program {
  return {
    name: 'database',
    main: join(ROOT, 'engine', 'database', 'main.ts'),
    arguments: [],
    env: { TALLY_DATA: options.folder },
    logFile: logFile(options, 'database'),
  };
}

function wardenProgram(options: PlatformOptions, run: RunFolders, keys: KeyFiles): Program {
  const flags = ['--folder', join(options.folder, 'warden'), '--socket', run.wardenSocket];
  const trusted = ['--lease-key', publicKeyOf(keys.lease), '--caller-key', publicKeyOf(keys.caller)];
  const level = options.isolation === undefined ? [] : ['--isolation', options.isolation];
  return {
    name: 'warden',
    main: join(ROOT, 'sandbox-agent', 'warden', 'main.ts'),
    arguments: [...flags, ...trusted, ...level, ...(options.allowLite ? ['--allow-lite'] : [])],
    env: {},
    logFile: logFile(options, 'warden'),
  };
}

function sharedEnvironment(options: PlatformOptions, run: RunFolders, keys: KeyFiles): Record<string, string> {
  return {
    TALLY_DATA: options.folder,
    TALLY_WARDEN_SOCKET: run.wardenSocket,
    TALLY_LOG_KEY_FILE: keys.log,
    TALLY_CALLER_KEY_FILE: keys.caller,
    ...(options.graceMs === undefined ? {} : { TALLY_GRACE_MS: String(options.graceMs) }),
  };
}

function meterProgram(options: PlatformOptions, keys: KeyFiles, shared: Record<string, string>): Program {
  return {
    name: 'meter',
    main: join(ROOT, 'meter', 'main.ts'),
    arguments: [],
    env: { ...shared, TALLY_LEASE_KEY_FILE: keys.lease, ...(shared['CHAIN_RPC_URL'] ? chainKeySettings(keys) : {}) },
    logFile: logFile(options, 'meter'),
  };
}

function apiProgram(options: PlatformOptions, keys: KeyFiles, shared: Record<string, string>): Program {
  return {
    name: 'api',
    main: join(ROOT, 'api', 'main.ts'),
    arguments: [],
    env: {
      ...shared,
      TALLY_LEASE_PUBLIC_KEYS: publicKeyOf(keys.lease),
      TALLY_HOST: options.host ?? HOST_DEFAULT,
      TALLY_DEVELOPMENT: options.development ? '1' : '0',
      ...(options.quantumMs === undefined ? {} : { TALLY_QUANTUM_MS: String(options.quantumMs) }),
    },
    logFile: logFile(options, 'api'),
  };
}
