/**
 * Brings a clone to the state in which a command can run: packages as locked, the right Node, system packages.
 * Promise: plain JavaScript for any Node since 16; says what it does, never fails for something optional.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PURPOSES = ['start', 'demo', 'test', 'bench', 'check'];
const NODE_MIN = [24, 15];
const INSTALL_ATTEMPTS_MAX = 2;
const LOCK_WAIT_MS_MAX = 300_000;
const LOCK_POLL_MS = 200;
const APT_SECONDS_MAX = 300;

/** What a purpose needs from the system: found by command name or by path, installed by Debian's package name. */
const SYSTEM_NEEDS = [
  {
    what: 'bwrap',
    debian: 'bubblewrap',
    for: ['start', 'demo', 'test', 'bench'],
    lost: 'sandboxes of isolation level ns: only the development level ns-lite is left, and its tests are skipped',
  },
  {
    what: 'unshare',
    debian: 'util-linux',
    for: ['start', 'demo', 'test', 'bench'],
    lost: 'namespaces: no sandbox starts',
  },
  {
    what: 'mkfs.ext4',
    debian: 'e2fsprogs',
    for: ['start', 'demo', 'test', 'bench'],
    lost: 'hard disk quotas of 256 MiB and more',
  },
  { what: 'perl', debian: 'perl-base', for: ['test'], lost: 'isolation attempts that need a raw system call' },
  {
    what: 'runsc',
    debian: 'runsc',
    for: ['test', 'bench'],
    lost: 'the tests and the figure of isolation level gvisor, which are skipped (start it with --isolation gvisor)',
  },
  { what: 'runc', debian: 'runc', for: ['bench'], lost: 'the peer that the sandbox benchmark measures itself against' },
  {
    what: 'postgres',
    folders: ['/usr/lib/postgresql/15/bin'],
    debian: 'postgresql-15',
    for: ['test'],
    lost: 'the tests against PostgreSQL 15, the oldest server we promise',
    prepare: forbidDefaultCluster,
  },
];

const say = (text) => process.stdout.write(`tally set-up: ${text}\n`);
const seconds = (fromMs) => `${((Date.now() - fromMs) / 1000).toFixed(1)} s`;

function readPurpose(argv) {
  const purpose = argv[argv.indexOf('--for') + 1];
  if (argv.includes('--for') && PURPOSES.includes(purpose)) return purpose;
  process.stderr.write(`usage: node tools/bootstrap.mjs --for ${PURPOSES.join('|')}\n`);
  process.exit(2);
}

// --- commands -------------------------------------------------------------------------------------------------------

const searchPath = () => (process.env.PATH || '').split(delimiter).filter(Boolean);

function findCommand(name, folders) {
  const names = process.platform === 'win32' ? [`${name}.exe`, `${name}.cmd`] : [name];
  for (const folder of folders)
    for (const candidate of names) if (existsSync(join(folder, candidate))) return join(folder, candidate);
  return undefined;
}

/** A Node that stands outside the folder that `npm ci` is about to replace. */
function outsideNode() {
  const modules = join(ROOT, 'node_modules');
  const outside = searchPath().filter((folder) => !folder.startsWith(modules));
  return process.execPath.startsWith(modules) ? findCommand('node', outside) || process.execPath : process.execPath;
}

function runNpm(node, args, folder) {
  const script = process.env.npm_execpath;
  const options = { cwd: folder, encoding: 'utf8', env: { ...process.env, npm_config_loglevel: 'error' } };
  if (script && /\.c?js$/.test(script)) return spawnSync(node, [script, ...args], options);
  const PATH = [dirname(node), process.env.PATH ?? ''].join(delimiter); // npm runs under the first node it finds
  return spawnSync('npm', args, { ...options, env: { ...options.env, PATH }, shell: process.platform === 'win32' });
}

function isRecent(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
}

let installer;

/**
 * The Node under which packages are installed. npm leaves out optional packages that do not run on the Node it runs on
 * itself, without a word: an old one would leave out those that the platform's own Node needs.
 */
function installingNode() {
  installer ??= recentNode();
  return installer;
}

/** Undefined where there is no such package for this machine; a file that cannot be read is npm's to complain about. */
function lockedVersion(name) {
  try {
    return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).optionalDependencies[name];
  } catch {
    return undefined;
  }
}

function recentNode() {
  const here = outsideNode();
  const version = spawnSync(here, ['--version'], { encoding: 'utf8' }).stdout.trim();
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const wanted = lockedVersion(name);
  if (isRecent(version) || wanted === undefined) return here;
  say(`fetching Node ${wanted} to install with: the one here is ${version} ...`);
  const folder = mkdtempSync(join(tmpdir(), 'tally-node-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const ran = runNpm(here, ['install', '--prefix', folder, '--ignore-scripts', `${name}@${wanted}`], folder);
  const fetched = findCommand('node', [join(folder, 'node_modules', name, 'bin')]);
  if (ran.status === 0 && fetched) return fetched;
  say(`it could not be fetched (${ran.stderr.trim().split('\n')[0]}); installing with the one here`);
  return here;
}

function fail(text) {
  process.stderr.write(`tally set-up: ${text}\n`);
  process.exit(1);
}

// --- packages -------------------------------------------------------------------------------------------------------

const stampPath = (folder) => join(folder, 'node_modules', '.tally-stamp');

function lockHash(folder) {
  return createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');
}

/** Version text of the Node that the scripts will run under, '' when there is none. */
function runtimeVersion() {
  const own = findCommand('node', [join(ROOT, 'node_modules', '.bin')]);
  const asked = spawnSync(own || process.execPath, ['--version'], { encoding: 'utf8' });
  return asked.status === 0 ? asked.stdout.trim() : '';
}

const stampOf = (folder) => `${lockHash(folder)} ${process.platform}-${process.arch} ${runtimeVersion()}\n`;

function isStamped(folder) {
  return existsSync(stampPath(folder)) && readFileSync(stampPath(folder), 'utf8') === stampOf(folder);
}

/** Whether an optional package is for this machine: npm under an old Node leaves out even those, without a word. */
function isForHere({ os, cpu, libc }) {
  const isGlibc = process.report?.getReport().header.glibcVersionRuntime !== undefined;
  const isLibcRight = libc === undefined || libc.includes(isGlibc ? 'glibc' : 'musl');
  return os?.includes(process.platform) === true && cpu?.includes(process.arch) === true && isLibcRight;
}

/** True when npm's own record of what it installed agrees with the lock file, as after a plain `npm install`. */
function isInstalledAsLocked(folder) {
  const record = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(locked).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') || entry.link) return true;
    if (!existsSync(join(folder, path, 'package.json'))) return entry.optional === true && !isForHere(entry);
    return installed[path] !== undefined && installed[path].version === entry.version;
  });
}

function installPackages(folder, name) {
  for (let attempt = 1; ; attempt++) {
    const startMs = Date.now();
    say(`installing ${name} as locked (npm ci --ignore-scripts), this needs the network once ...`);
    const ran = runNpm(installingNode(), ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder);
    if (ran.status === 0) return say(`installed ${name} in ${seconds(startMs)}`);
    const cause = ran.error ? ran.error.message : `${ran.stderr}${ran.stdout}`.trim();
    if (attempt === INSTALL_ATTEMPTS_MAX) fail(`npm ci failed ${attempt} times for ${name}:\n${cause}`);
    say(`npm ci failed, trying once more: ${cause.split('\n')[0]}`);
  }
}

function ensurePackages(folder, name) {
  if (isStamped(folder)) return;
  if (!isInstalledAsLocked(folder)) installPackages(folder, name);
  mkdirSync(dirname(stampPath(folder)), { recursive: true });
  writeFileSync(stampPath(folder), stampOf(folder));
}

function ensureRuntime() {
  const version = runtimeVersion();
  if (isRecent(version)) return;
  const found = version || 'none that runs';
  fail(
    `Node ${NODE_MIN.join('.')} or newer is needed, found ${found}. ` +
      'Linux and Windows get it with the packages; on a Mac, install it (for example from nodejs.org) and run again.',
  );
}

// --- one set-up at a time -------------------------------------------------------------------------------------------

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

function isLockStale(lock) {
  try {
    const pid = Number(readFileSync(join(lock, 'pid'), 'utf8'));
    return pid > 0 ? !isAlive(pid) : true;
  } catch {
    return existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 5_000;
  }
}

function pauseMs(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** One attempt at the lock; a lock whose owner died is removed for the next attempt. */
function tryLock(lock) {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (isLockStale(lock)) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}

function takeLock(lock) {
  const startMs = Date.now();
  let isSaid = false;
  while (!tryLock(lock)) {
    const waitedMs = Date.now() - startMs;
    if (waitedMs > LOCK_WAIT_MS_MAX) fail(`another set-up has held ${lock} for ${LOCK_WAIT_MS_MAX / 1000} s`);
    if (!isSaid && waitedMs > LOCK_POLL_MS) {
      say('another command is setting this clone up, waiting for it ...');
      isSaid = true;
    }
    pauseMs(LOCK_POLL_MS);
  }
  writeFileSync(join(lock, 'pid'), String(process.pid));
}

/** Two commands started at once in one clone must not install over each other. */
function withLock(work) {
  const lock = join(ROOT, '.tally', 'set-up.lock');
  mkdirSync(dirname(lock), { recursive: true });
  takeLock(lock);
  const release = () => rmSync(lock, { recursive: true, force: true });
  process.once('exit', release);
  work();
}

// --- system packages ------------------------------------------------------------------------------------------------

/** Debian starts a server on the public port when it installs PostgreSQL; we only want the programs. */
function forbidDefaultCluster() {
  const path = '/etc/postgresql-common/createcluster.conf';
  if (existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'create_main_cluster = false\n');
  say(`wrote ${path}, so that Debian starts no database server of its own`);
}

const isMissing = (need) => !findCommand(need.what, [...searchPath(), '/usr/sbin', '/sbin', ...(need.folders || [])]);

function mayInstall() {
  const isRoot = process.getuid !== undefined && process.getuid() === 0;
  return isRoot && existsSync('/usr/bin/apt-get') && process.env.TALLY_SYSTEM_PACKAGES !== 'off';
}

function aptGet(args) {
  const options = [
    '-q',
    '-o',
    'Acquire::Retries=3',
    '-o',
    'DPkg::Lock::Timeout=120',
    '-o',
    'Dpkg::Options::=--force-confold',
  ];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync('apt-get', [...options, ...args], { encoding: 'utf8', env, timeout: APT_SECONDS_MAX * 1000 });
}

function installSystemPackages(needs) {
  const names = needs.map((need) => need.debian);
  const startMs = Date.now();
  say(`installing system packages with apt-get: ${names.join(', ')} ...`);
  for (const need of needs) if (need.prepare) need.prepare();
  aptGet(['update']);
  if (aptGet(['install', '-y', '--no-install-recommends', ...names]).status !== 0)
    for (const name of names) aptGet(['install', '-y', '--no-install-recommends', name]);
  const left = needs.filter(isMissing);
  if (left.length < needs.length) say(`installed ${needs.length - left.length} system packages in ${seconds(startMs)}`);
  return left;
}

function ensureSystemPackages(purpose) {
  if (process.platform !== 'linux')
    return say(`no sandboxes of isolation level ns on ${process.platform}: Linux is needed`);
  const missing = SYSTEM_NEEDS.filter((need) => need.for.includes(purpose) && isMissing(need));
  const left = missing.length > 0 && mayInstall() ? installSystemPackages(missing) : missing;
  for (const need of left)
    say(`missing ${need.what} (Debian package ${need.debian}); without it you lose ${need.lost}`);
  return undefined;
}

// --------------------------------------------------------------------------------------------------------------------

const purpose = readPurpose(process.argv);
withLock(() => {
  ensurePackages(ROOT, 'packages');
  ensureRuntime();
  if (purpose === 'check') ensurePackages(join(ROOT, 'tools', 'contracts'), 'the proto compiler');
  else ensureSystemPackages(purpose);
});
