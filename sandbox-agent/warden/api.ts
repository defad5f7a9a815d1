/**
 * The warden's HTTP routes: one table of method, path, verb and what it calls.
 * Promise: every route but health asks for a caller ticket first; every refusal is a typed problem body.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Envelope, JsonObject } from '@tallystick/kernel';
import type { TerminalSize } from '../guest/frame.ts';
import type { Access, CallerVerb } from './access.ts';
import type { SandboxSpec } from './admission.ts';
import type { Attester } from './attest.ts';
import { egressDecisions, isEgress, replaceEgress } from './egress-routes.ts';
import type { EventLog } from './events.ts';
import { Fault, invalid, refused } from './fault.ts';
import { getFile, getTree, listFiles, putFile, putTree } from './files.ts';
import type { Held } from './held.ts';
import { changePath, statPath } from './paths.ts';
import { carryPort, portOf, type Upgraded } from './ports.ts';
import * as read from './request.ts';
import { attestation, envWithSecrets, releaseSecrets, SECRET_MEMBERS } from './secret-routes.ts';
import { checkImage, isSnapshotId, isSnapshotRef, snapshotIn, takeSnapshot } from './snapshot-routes.ts';
import type { Snapshots } from './snapshots.ts';
import { WAIT_MS_MAX } from './waiters.ts';
import type { Warden } from './warden.ts';
import { openWatch, watchOf } from './watches.ts';

export interface ApiOptions {
  warden: Warden;
  events: EventLog;
  access: Access;
  bootId: string;
  /** The audience of caller tickets, base64. */
  publicKey: string;
  imageVersion: string;
  descriptor: () => JsonObject;
  attester: Attester;
  snapshots: Snapshots;
  imageDigest: () => Promise<string>;
}

interface Ask {
  options: ApiOptions;
  request: IncomingMessage;
  response: ServerResponse;
  query: URLSearchParams;
  /** Names in the path, in order: sandbox, exec. */
  names: string[];
}

type Answer = object | undefined;
interface Route {
  method: string;
  path: RegExp;
  verb: CallerVerb | 'public';
  /** Undefined: the response has been written already. */
  answer: (ask: Ask) => Answer | Promise<Answer>;
}

const OUTPUT_BYTES_MAX = 1024 * 1024;
const OUTPUT_BYTES_DEFAULT = 256 * 1024;
const EXEC_TIMEOUT_MS_MAX = 7 * 24 * 3_600_000;
const SAFE_MAX = Number.MAX_SAFE_INTEGER;
const WORD = /^[a-z][a-z0-9_]{0,63}$/;

const name = (ask: Ask): string => ask.names[0] as string;
const execId = (ask: Ask): string => ask.names[1] as string;
const waitMs = (ask: Ask): number => read.countOf(ask.query, 'wait_ms', 0, WAIT_MS_MAX);

function createdAnswer(held: Held, options: ApiOptions): object {
  const { bootId, imageVersion, descriptor } = options;
  const where = { isolation: descriptor()['isolation'], image_version: imageVersion, boot_id: bootId };
  const what = { sandbox: held.name, incarnation: held.incarnation, state: 'running' };
  return { ...what, started_at_us: held.startedAtUs, ...where };
}

async function create(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  const count = read.isCount(0, SAFE_MAX);
  read.checkMembers(body, {
    sandbox: read.isName,
    incarnation: read.isCount(1, SAFE_MAX),
    image: read.isText,
    cpu_millis: count,
    memory_mib: count,
    disk_mib: count,
    pids_max: count,
    grace_ms: count,
    from: read.optional(isSnapshotRef),
    keep_as: read.optional(isSnapshotId),
    image_digest: read.optional(read.isText),
    egress: read.optional(isEgress),
    ticket: read.isObject,
  });
  const { ticket, ...spec } = body;
  ask.options.access.check(
    ask.request.headers.authorization,
    'create',
    body['sandbox'] as string,
    body['incarnation'] as number,
  );
  const image_digest = await checkImage(ask.options.imageDigest, spec as unknown as SandboxSpec);
  const held = await ask.options.warden.create(spec as unknown as SandboxSpec, ticket as unknown as Envelope);
  return { ...createdAnswer(held, ask.options), image_digest };
}

async function renew(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, { ticket: read.isObject });
  ask.options.warden.renew(name(ask), body['ticket'] as unknown as Envelope);
  return ask.options.warden.view(name(ask));
}

async function finish(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, {
    incarnation: read.isCount(1, SAFE_MAX),
    reason: (value) => (typeof value === 'string' && WORD.test(value) ? undefined : 'must be a lower-case word'),
    at_us: read.optional(read.isCount(0, SAFE_MAX)),
  });
  const atUs = body['at_us'] as number | null | undefined;
  const atMs = atUs === null || atUs === undefined ? null : atUs / 1_000;
  await ask.options.warden.finish(name(ask), body['incarnation'] as number, body['reason'] as string, atMs);
  return ask.options.warden.view(name(ask));
}

const noTerminals = (): Fault => {
  const facts = { cap: 'terminals', asked: 1, available: 0 };
  return refused('no_terminals', 'this machine cannot run commands on a terminal', facts);
};

async function startExec(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, {
    exec_id: read.isName,
    argv: read.isArgv,
    env: read.optional(read.isEnv),
    cwd: read.optional(read.isText),
    stdin_base64: read.optional(read.isBase64),
    stdin_open: read.optional(read.isFlag),
    ...SECRET_MEMBERS,
    timeout_ms: read.optional(read.isCount(1, EXEC_TIMEOUT_MS_MAX)),
    tty: read.optional(read.isTerminalSize),
  });
  if (body['tty'] && ask.options.descriptor()['terminals'] === false) throw noTerminals();
  const held = ask.options.warden.held(name(ask));
  const id = body['exec_id'] as string;
  const stdin = typeof body['stdin_base64'] === 'string' ? Buffer.from(body['stdin_base64'], 'base64') : undefined;
  const hasStdin = stdin !== undefined || body['stdin_open'] === true;
  const request = {
    argv: body['argv'] as string[],
    hasStdin,
    ...(execsOf(held).has(id) ? {} : envWithSecrets(held, body)),
    ...(body['cwd'] ? { cwd: body['cwd'] as string } : {}),
    ...(body['timeout_ms'] ? { timeoutMs: body['timeout_ms'] as number } : {}),
    ...(body['tty'] ? { tty: body['tty'] as unknown as TerminalSize } : {}),
  };
  return execsOf(held).has(id)
    ? execsOf(held).get(id, 0)
    : ask.options.warden.running(name(ask)).execs.start(id, request, stdin, body['stdin_open'] === true);
}

function execsOf(held: Held) {
  if (!held.execs) throw new Fault('not_found', 'unknown_exec', 'no command has run in this sandbox');
  return held.execs;
}

const execsHere = (ask: Ask) => execsOf(ask.options.warden.held(name(ask)));

async function signalExec(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, { signal: read.isText });
  ask.options.warden.running(name(ask)).execs.signal(execId(ask), body['signal'] as string);
  return execsHere(ask).get(execId(ask), 0);
}

async function stdinExec(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, {
    bytes_base64: read.isBase64,
    end: read.isFlag,
    writer: read.optional(read.isName),
    at: read.optional(read.isCount(0, SAFE_MAX)),
  });
  const bytes = Buffer.from(body['bytes_base64'] as string, 'base64');
  const place = typeof body['at'] === 'number' ? { writer: String(body['writer'] ?? ''), at: body['at'] } : undefined;
  const { execs } = ask.options.warden.running(name(ask));
  return { position: execs.stdin(execId(ask), bytes, body['end'] as boolean, place) };
}

async function resizeExec(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, read.TERMINAL_SIZE);
  const { execs } = ask.options.warden.running(name(ask));
  return execs.resize(execId(ask), body as unknown as TerminalSize);
}

function readOutput(ask: Ask): Promise<object> {
  const after = read.countOf(ask.query, 'after', 0, SAFE_MAX);
  const bytesMax = read.countOf(ask.query, 'max_bytes', OUTPUT_BYTES_DEFAULT, OUTPUT_BYTES_MAX);
  if (bytesMax < 1) throw invalid('max_bytes must be at least 1');
  const held = ask.options.warden.held(name(ask));
  if (!held.ended) ask.options.warden.touch(held, 'output');
  return execsHere(ask).output(execId(ask), after, waitMs(ask), bytesMax);
}

/** Files: the running sandbox's link, with the activity noted. */
function linkFor(ask: Ask, cause: string) {
  const held = ask.options.warden.running(name(ask));
  ask.options.warden.touch(held, cause);
  return held.sandbox.link;
}

const done = async (work: Promise<void>): Promise<undefined> => {
  await work;
  return undefined;
};

async function startWatch(ask: Ask): Promise<object> {
  const body = await read.readJson(ask.request);
  read.checkMembers(body, { watch_id: read.isName, path: read.isPath, recursive: read.isFlag });
  const { watch_id, path, recursive } = body as unknown as Parameters<typeof openWatch>[1];
  const nowUs = (): number => Math.round(Date.now() * 1_000);
  return openWatch(linkFor(ask, 'watch'), { watch_id, path, recursive }, nowUs);
}

/** What it saw can be read also while the sandbox stands frozen, and after its end. */
function watchHere(ask: Ask) {
  const held = ask.options.warden.held(name(ask));
  if (!held.ended) ask.options.warden.touch(held, 'watch');
  return watchOf(held.sandbox?.link, ask.names[1] as string);
}

async function closeWatch(ask: Ask): Promise<object> {
  read.checkMembers(await read.readJson(ask.request), {});
  watchHere(ask).close('closed');
  return {};
}

const SBX = '/v1/sandboxes/([^/]+)';
const route = (method: string, path: string, verb: Route['verb'], answer: Route['answer']): Route => {
  return { method, path: new RegExp(`^${path}$`), verb, answer };
};

const ROUTES: Route[] = [
  route('GET', '/v1/health', 'public', ({ options }) => ({
    status: 'ok',
    boot_id: options.bootId,
    public_key: options.publicKey,
    warm_ready: options.warden.warm.readyCount,
    launcher_ready: options.warden.warm.spare.isReady,
  })),
  route('GET', '/v1/descriptor', 'read', async ({ options }) => ({
    ...options.descriptor(),
    image_digests: { [options.imageVersion]: await options.imageDigest() },
  })),
  route('GET', '/attestation', 'read', ({ options }) => {
    return { mode: 'standard', image_version: options.imageVersion, measurement: null };
  }),
  route('GET', '/v1/events', 'read', (ask) =>
    ask.options.events.read(read.countOf(ask.query, 'after', 0, SAFE_MAX), waitMs(ask)),
  ),
  route('GET', '/v1/sandboxes', 'read', ({ options }) => ({ sandboxes: options.warden.list() })),
  route('POST', '/v1/sandboxes', 'create', create),
  route('GET', SBX, 'read', (ask) => ask.options.warden.view(name(ask))),
  route('POST', `${SBX}/renew`, 'renew', renew),
  route('POST', `${SBX}/finish`, 'finish', finish),
  route('GET', `${SBX}/attestation`, 'read', (ask) =>
    attestation(ask.options.attester, ask.options.warden.held(name(ask)), ask.query),
  ),
  route('GET', `${SBX}/secrets`, 'read', (ask) => ({ secrets: ask.options.warden.held(name(ask)).secrets.list() })),
  route('POST', `${SBX}/secrets`, 'release', async (ask) =>
    releaseSecrets(ask.options.warden, ask.options.attester, name(ask), await read.readJson(ask.request)),
  ),
  route('POST', `${SBX}/snapshots`, 'snapshot', async (ask) => {
    const { warden, snapshots, imageDigest } = ask.options;
    return takeSnapshot(snapshots, warden.held(name(ask)), imageDigest, await read.readJson(ask.request));
  }),
  route('GET', '/v1/snapshots', 'read', ({ options }) => ({ snapshots: options.snapshots.list() })),
  route('DELETE', '/v1/snapshots/([^/]+)', 'snapshot', async (ask) => {
    await ask.options.snapshots.remove(snapshotIn(name(ask)));
    return {};
  }),
  route('GET', `${SBX}/egress`, 'read', (ask) => egressDecisions(ask.options.warden.held(name(ask)), ask.query)),
  route('PUT', `${SBX}/egress`, 'egress', async (ask) =>
    replaceEgress(ask.options.warden.held(name(ask)), await read.readJson(ask.request)),
  ),
  route('GET', `${SBX}/execs`, 'read', (ask) => ({ execs: execsHere(ask).list() })),
  route('POST', `${SBX}/execs`, 'exec', startExec),
  route('GET', `${SBX}/execs/([^/]+)`, 'read', (ask) => execsHere(ask).get(execId(ask), waitMs(ask))),
  route('GET', `${SBX}/execs/([^/]+)/output`, 'read', readOutput),
  route('POST', `${SBX}/execs/([^/]+)/signal`, 'exec', signalExec),
  route('POST', `${SBX}/execs/([^/]+)/stdin`, 'exec', stdinExec),
  route('POST', `${SBX}/execs/([^/]+)/resize`, 'exec', resizeExec),
  route('PUT', `${SBX}/files`, 'put', (ask) =>
    putFile(linkFor(ask, 'file_write'), read.pathOf(ask.query), ask.request),
  ),
  route('GET', `${SBX}/files`, 'get', (ask) =>
    done(getFile(linkFor(ask, 'file_read'), read.pathOf(ask.query), ask.request, ask.response)),
  ),
  route('PUT', `${SBX}/tree`, 'put', (ask) => putTree(linkFor(ask, 'file_write'), read.pathOf(ask.query), ask.request)),
  route('GET', `${SBX}/tree`, 'get', (ask) =>
    done(getTree(linkFor(ask, 'file_read'), read.pathOf(ask.query), ask.response)),
  ),
  route('GET', `${SBX}/stat`, 'get', (ask) =>
    statPath(linkFor(ask, 'file_read'), read.pathOf(ask.query), ask.query.get('digest') === '1'),
  ),
  ...(['mkdir', 'move', 'remove'] as const).map((change) =>
    route('POST', `${SBX}/${change}`, 'put', (ask) =>
      changePath(() => linkFor(ask, 'file_write'), change, ask.request),
    ),
  ),
  route('POST', `${SBX}/watches`, 'get', startWatch),
  route('GET', `${SBX}/watches/([^/]+)`, 'get', (ask) =>
    watchHere(ask).read(read.countOf(ask.query, 'after', 0, SAFE_MAX), waitMs(ask)),
  ),
  route('POST', `${SBX}/watches/([^/]+)/close`, 'get', closeWatch),
  route('GET', `${SBX}/list`, 'get', (ask) => listFiles(linkFor(ask, 'file_read'), read.pathOf(ask.query))),
];

function routeFor(method: string, path: string): { route: Route; names: string[] } {
  for (const candidate of ROUTES) {
    const match = candidate.method === method ? candidate.path.exec(path) : null;
    if (match) return { route: candidate, names: match.slice(1) };
  }
  throw new Fault('not_found', 'unknown_route', `no route ${method} ${path}`);
}

/** Routes over all sandboxes need a ticket for '*'; `create` names its sandbox in the body and is checked again there. */
function checkCaller(route: Route, names: string[], options: ApiOptions, request: IncomingMessage): void {
  if (route.verb === 'public' || route.verb === 'create') return;
  const sandbox = names[0] ?? '*';
  const incarnation = names[0] === undefined ? undefined : options.warden.incarnationOf(names[0]);
  options.access.check(request.headers.authorization, route.verb, sandbox, incarnation);
}

function send(response: ServerResponse, status: number, body: object, type: string): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length }).end(bytes);
}

async function sendFault(request: IncomingMessage, response: ServerResponse, cause: unknown): Promise<void> {
  if (response.destroyed) return;
  if (response.headersSent) return void response.destroy();
  const fault = cause instanceof Fault ? cause : new Fault('fault', 'fault', 'the warden could not do that');
  if (fault !== cause) console.error(cause);
  await read.drain(request);
  if (response.destroyed) return;
  // A body that nobody reads on would block the connection.
  if (!request.complete) response.setHeader('connection', 'close');
  send(response, fault.status, fault, 'application/problem+json');
}

async function answerTo(options: ApiOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://warden');
  const { route, names } = routeFor(request.method ?? '', url.pathname);
  checkCaller(route, names, options, request);
  const answer = await route.answer({ options, request, response, query: url.searchParams, names });
  if (answer !== undefined) send(response, 200, answer, 'application/json');
}

const PORT_PATH = /^\/v1\/sandboxes\/([^/]+)\/ports\/([^/]+)$/;

/** The one route whose answer is a connection. */
async function upgrade(options: ApiOptions, caller: Upgraded): Promise<void> {
  const { request } = caller;
  const [, sandbox, port] = PORT_PATH.exec(new URL(request.url ?? '/', 'http://warden').pathname) ?? [];
  if (!sandbox || !port) throw new Fault('not_found', 'unknown_route', 'no such stream');
  options.access.check(request.headers.authorization, 'dial', sandbox, options.warden.incarnationOf(sandbox));
  const held = options.warden.running(sandbox);
  await carryPort(held.sandbox.link, portOf(port), caller, () => options.warden.touch(held, 'port'));
}

/** The socket is bare: no response object will ever be made for it. */
function sendBareFault(socket: Duplex, cause: unknown): void {
  const fault = cause instanceof Fault ? cause : new Fault('fault', 'fault', 'the warden could not do that');
  if (fault !== cause) console.error(cause);
  const body = JSON.stringify(fault);
  const length = `content-length: ${Buffer.byteLength(body)}`;
  const head = `HTTP/1.1 ${fault.status} Refused\r\ncontent-type: application/problem+json\r\n${length}`;
  socket.end(`${head}\r\nconnection: close\r\n\r\n${body}`);
}

/** Not listening yet. */
export function apiServer(options: ApiOptions): Server {
  const server = createServer((request, response) => {
    answerTo(options, request, response).catch((fault) => sendFault(request, response, fault));
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    upgrade(options, { request, socket, head }).catch((fault) => sendBareFault(socket, fault));
  });
  server.requestTimeout = 0;
  return server;
}
