/**
 * The warden as a process: options, key, a private mount namespace, the socket, and a clean end.
 * Promise: it says `ready` once it listens, in one line of JSON; when it ends, no sandbox is left.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { assertGoodPublicKey, type JsonObject, type SigningKey, signingKeyFromSeed } from '@tallystick/kernel';
import { accessFor } from './access.ts';
import { type Admission, detectAdmission, IMAGE_VERSION, SANDBOXES_MAX } from './admission.ts';
import { apiServer } from './api.ts';
import { attesterFor } from './attest.ts';
import { systemClock } from './clock.ts';
import { tellDeparted, writeDeparted } from './departed.ts';
import { egressKinds } from './egress.ts';
import { egressMachine, readOpenedRanges } from './egress-dial.ts';
import { EventLog } from './events.ts';
import { Fault, refused } from './fault.ts';

import { type Ground, removeGround } from './ground.ts';
import { GUEST_RUNTIMES, type GuestRuntime, guestFor } from './guest-build.ts';

import { checkPinned, imageDigests } from './image-digest.ts';
import { type AskedLevel, askedLevel, chooseLevel, groundAt } from './level.ts';
import { Snapshots } from './snapshots.ts';
import { UsedNames } from './used-names.ts';
import { Warden } from './warden.ts';
import { WARM_MAX } from './warm-pool.ts';

interface Options {
  folder: string;
  socket: string;
  leaseKey: Buffer;
  callerKey: Buffer;
  isolation: AskedLevel;
  /** Development only: take `ns-lite` where `ns` is not possible. */
  allowsLite: boolean;
  /** Hex; absent: whatever image this machine has. */
  imageDigest: string | undefined;
  /** What the guest runs on; absent: the soonest that runs here. */
  guest: GuestRuntime | undefined;
  /** How many sandboxes stand booted ahead, and the disk size they have. */
  warm: { size: number; diskBytesMax: number; spare: boolean };
  /** Ranges that tenants may reach although they are not of the internet; none. */
  egressPrivate: string;
  /** Absent: the host's own. */
  egressResolver: string | undefined;
}

const SEED_BYTES = 32;
const PARENT_CHECK_MS = 1_000;
/** A unix socket's path is at most this long. */
const SOCKET_CHARS_MAX = 107;
const PRIVATE_MOUNTS = '--private-mounts';
/** Two of the shape that a request without figures gets. */
const WARM_SIZE = 2;
const WARM_DISK_MIB = 512;
const DISK_MIB_MAX = 1 << 20;

function keyOption(name: string, text: string | undefined): Buffer {
  const key = Buffer.from(text ?? '', 'base64');
  try {
    assertGoodPublicKey(key);
  } catch (fault) {
    throw refused('bad_option', `--${name}: ${(fault as Error).message}`);
  }
  return key;
}

/** @errors throws Fault `bad_option` on anything but a whole number from 0 to `max`. */
function countOption(name: string, text: string | undefined, initial: number, max: number): number {
  if (text === undefined) return initial;
  if (!/^\d{1,9}$/.test(text) || Number(text) > max) {
    throw refused('bad_option', `--${name}: a whole number from 0 to ${max}, this is ${text}`);
  }
  return Number(text);
}

/** Flags win over TALLY_WARDEN_ and the flag's name in capitals with underscores, e.g. TALLY_WARDEN_EGRESS_PRIVATE. */
function readOptions(argv: string[], env: NodeJS.ProcessEnv): Options {
  const text = { type: 'string' } as const;
  const lite = { type: 'boolean', default: false } as const;
  const keys = { 'lease-key': text, 'caller-key': text } as const;
  const warm = { warm: text, 'warm-disk-mib': text, spare: text } as const;
  const egress = { 'egress-private': text, 'egress-resolver': text } as const;
  const kind = { isolation: text, guest: text, 'allow-lite': lite, 'image-digest': text } as const;
  const options = { folder: text, socket: text, ...keys, ...warm, ...egress, ...kind } as const;
  const { values } = parseArgs({ args: argv.filter((word) => word !== PRIVATE_MOUNTS), options });
  const folder = values.folder ?? env['TALLY_WARDEN_FOLDER'];
  const socket = values.socket ?? env['TALLY_WARDEN_SOCKET'];
  if (!folder || !socket) throw refused('bad_option', 'needs --folder DIR and --socket PATH');
  if (resolve(socket).length > SOCKET_CHARS_MAX) {
    throw refused('bad_option', `--socket: at most ${SOCKET_CHARS_MAX} characters, this has ${resolve(socket).length}`);
  }
  return {
    folder: resolve(folder),
    socket: resolve(socket),
    leaseKey: keyOption('lease-key', values['lease-key'] ?? env['TALLY_WARDEN_LEASE_KEY']),
    callerKey: keyOption('caller-key', values['caller-key'] ?? env['TALLY_WARDEN_CALLER_KEY']),
    isolation: askedLevel(values.isolation ?? env['TALLY_WARDEN_ISOLATION']),
    allowsLite: values['allow-lite'] || env['TALLY_WARDEN_ALLOW_LITE'] === '1',
    imageDigest: values['image-digest'] ?? env['TALLY_WARDEN_IMAGE_DIGEST'],
    guest: guestOption(values.guest ?? env['TALLY_WARDEN_GUEST']),
    warm: warmOption(
      values.warm ?? env['TALLY_WARDEN_WARM'],
      values['warm-disk-mib'] ?? env['TALLY_WARDEN_WARM_DISK_MIB'],
      values.spare ?? env['TALLY_WARDEN_SPARE'],
    ),
    egressPrivate: values['egress-private'] ?? env['TALLY_WARDEN_EGRESS_PRIVATE'] ?? '',
    egressResolver: values['egress-resolver'] ?? env['TALLY_WARDEN_EGRESS_RESOLVER'],
  };
}

function guestOption(text: string | undefined): GuestRuntime | undefined {
  const named = GUEST_RUNTIMES.find((runtime) => runtime === text);
  if (text !== undefined && !named)
    throw refused('bad_option', `--guest: ${GUEST_RUNTIMES.join(' or ')}, this is ${text}`);
  return named;
}

function warmOption(size: string | undefined, diskMib: string | undefined, spare: string | undefined): Options['warm'] {
  const mib = countOption('warm-disk-mib', diskMib, WARM_DISK_MIB, DISK_MIB_MAX);
  const isSpareWanted = countOption('spare', spare, 1, 1) === 1;
  return { size: countOption('warm', size, WARM_SIZE, WARM_MAX), diskBytesMax: mib * 2 ** 20, spare: isSpareWanted };
}

/** Made at the first start; only root may read it. */
function ownKey(folder: string): SigningKey {
  const file = join(folder, 'warden.key');
  if (!existsSync(file)) writeFileSync(file, randomBytes(SEED_BYTES), { mode: 0o600 });
  return signingKeyFromSeed(readFileSync(file));
}

/** Whoever started this process may have had a database's password in its environment; a machine for tenants keeps none. */
const KEPT_VARIABLES = /^(PATH|HOME|LANG|LC_ALL|TZ|TMPDIR|TALLY_PARENT|TALLY_WARDEN_\w+)$/;

function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => KEPT_VARIABLES.test(name)));
}

/** Becomes itself again, same pid, in a mount namespace of its own: no mount of a sandbox ever shows on the host. */
function becomePrivate(): void {
  if (process.argv.includes(PRIVATE_MOUNTS)) return;
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1), PRIVATE_MOUNTS];
  process.execve?.(
    '/usr/bin/unshare',
    ['unshare', '--mount', '--propagation', 'private', '--', ...self],
    ownEnvironment(),
  );
  throw refused('cannot_isolate', 'this Node cannot replace itself: needs process.execve');
}

function describe(admission: Admission, { level, terminals }: Ground): JsonObject {
  return {
    isolation: level,
    terminals,
    enforcement: 'freeze',
    quotas: ['cpu', 'memory', 'pids', 'disk'],
    egress: egressKinds(level),
    images: [...admission.images],
    totals: { cpu_millis: admission.cpuMillis, memory_mib: admission.memoryMib, disk_mib: admission.diskMib },
    sandboxes_max: SANDBOXES_MAX,
  };
}

async function listen(server: Server, socket: string): Promise<void> {
  rmSync(socket, { force: true });
  const old = process.umask(0o177);
  await new Promise<void>((done, fail) => server.once('error', fail).listen(socket, done));
  process.umask(old);
  chmodSync(socket, 0o600);
}

function closeOnSignal(close: () => Promise<void>): void {
  let isClosing = false;
  const end = (): void => {
    if (isClosing) return;
    isClosing = true;
    close().then(
      () => process.exit(0),
      (fault) => {
        console.error(fault);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', end).on('SIGINT', end);
  whenOrphaned(end);
}

/** A warden whose starter is gone holds the folder against the next one. Only a starter that names itself is watched. */
function whenOrphaned(end: () => void): void {
  const parent = Number(process.env['TALLY_PARENT'] ?? '0');
  const look = (): void => {
    if (process.ppid !== parent) end();
  };
  if (parent !== 0) setInterval(look, PARENT_CHECK_MS).unref();
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), process.env);
  const openedRanges = readOpenedRanges(options.egressPrivate);
  const egress = egressMachine({ openedRanges, resolver: options.egressResolver || undefined });
  const level = chooseLevel(options.isolation, options.allowsLite);
  const guest = options.guest ?? guestFor(level);
  const imageDigest = imageDigests(guest);
  becomePrivate();
  await checkPinned(imageDigest, options.imageDigest);
  mkdirSync(options.folder, { recursive: true, mode: 0o711 });
  const ground = await groundAt(options.folder, level, guest);
  const bootId = randomUUID();
  const key = ownKey(options.folder);
  const publicKey = key.publicKey.toString('base64');
  const events = new EventLog(options.folder, bootId, systemClock.wallMs);
  const admission = detectAdmission(options.folder);
  const usedNames = new UsedNames(join(options.folder, 'used-names'));
  const { leaseKey, warm } = options;
  const snapshots = new Snapshots(ground.snapshots, () => Math.round(systemClock.wallMs() * 1_000));
  const kept = { snapshots, imageDigest, egress };
  const departed = tellDeparted(options.folder, events);
  const told = { events, departed, usedNames };
  const warden = new Warden({ ground, leaseKey, clock: systemClock, admission, warm, ...told, ...kept });
  const access = accessFor(options.callerKey, publicKey, systemClock.wallMs);
  const descriptor = (): JsonObject => describe(admission, ground);
  const attester = attesterFor({ key, bootId, filterFile: ground.filterFile, imageDigest, descriptor });
  const identity = { bootId, publicKey, imageVersion: IMAGE_VERSION, attester };
  const server = apiServer({ warden, events, access, descriptor, ...identity, ...kept });
  await listen(server, options.socket);
  closeOnSignal(async () => {
    server.close();
    writeDeparted(options.folder, await warden.close());
    await events.close();
    server.closeAllConnections();
    await removeGround(ground, options.folder);
  });
  const ready = { ready: true, boot_id: bootId, public_key: publicKey, isolation: level, descriptor: descriptor() };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

main().catch((fault) => {
  const said = fault instanceof Fault ? fault.toJSON() : { code: 'fault', detail: (fault as Error).message };
  process.stderr.write(`${JSON.stringify(said)}\n`);
  process.exit(1);
});
