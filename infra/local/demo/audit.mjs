/**
 * The work of the demo: audits a folder of installed packages, or any other folder, and writes report.md and report.json.
 * Promise: reads only below the folder it is given; what it lists as a secret it names by place and kind, never by value.
 * Usage: node audit.mjs FOLDER REPORT_FOLDER. Plain JavaScript, because it runs inside a sandbox as it is.
 */
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { basename, extname, join, relative } from 'node:path';

const SCAN_BYTES_MAX = 256 * 1024;
const LISTED_MAX = 25;
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'];
const SECRET_NAMES = [
  [/^\.env(\..+)?$/, 'environment file'],
  [/^id_(rsa|dsa|ecdsa|ed25519)$/, 'SSH private key'],
  [/\.(pem|p12|pfx|key|keystore|jks)$/i, 'key or certificate store'],
  [/^\.(netrc|pgpass|git-credentials)$/, 'stored credentials'],
];
const SECRET_CONTENTS = [
  [/-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}/, 'private key'],
  [/\bAKIA[0-9A-Z]{16}\b/, 'AWS access key id'],
  [/\bgh[pousr]_[A-Za-z0-9]{36}\b/, 'GitHub token'],
  [/\bxox[baprs]-[0-9A-Za-z-]{20,}/, 'Slack token'],
  [/_authToken\s*=\s*[A-Za-z0-9_-]{20,}/, 'npm token'],
];
const TEXT_ENDINGS = new Set([
  '',
  '.js',
  '.mjs',
  '.cjs',
  '.ts',
  '.json',
  '.md',
  '.txt',
  '.yml',
  '.yaml',
  '.toml',
  '.ini',
  '.sh',
  '.env',
  '.npmrc',
  '.pem',
  '.key',
  '.py',
  '.html',
  '.xml',
]);

const [folder, reportFolder] = process.argv.slice(2);

const found = { files: 0, bytes: 0, packages: [], secrets: [], byEnding: new Map() };
walk(folder, undefined);
const report = summarise();
mkdirSync(reportFolder, { recursive: true });
writeFileSync(join(reportFolder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
writeFileSync(join(reportFolder, 'report.md'), markdown(report));
console.log(JSON.stringify(report.totals));

/** `owner` is the package that a file's bytes count for. */
function walk(directory, owner) {
  const entries = readdirSync(directory, { withFileTypes: true });
  const manifest = entries.some((entry) => entry.name === 'package.json' && entry.isFile())
    ? readManifest(directory)
    : undefined;
  const current = manifest ?? owner;
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) walk(path, current);
    else if (entry.isFile()) countFile(path, current);
  }
}

/** Only a manifest with a name and a version is a package; others belong to the package around them. */
function readManifest(directory) {
  let manifest;
  try {
    manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  } catch {
    return undefined;
  }
  if (typeof manifest.name !== 'string' || typeof manifest.version !== 'string') return undefined;
  const scripts = INSTALL_SCRIPTS.filter((name) => typeof manifest.scripts?.[name] === 'string');
  const found_ = {
    name: manifest.name,
    version: manifest.version,
    licence: licenceOf(manifest),
    path: relative(folder, directory) || '.',
    scripts,
    files: 0,
    bytes: 0,
  };
  found.packages.push(found_);
  return found_;
}

function licenceOf({ license, licenses }) {
  if (typeof license === 'string') return license;
  if (typeof license?.type === 'string') return license.type;
  if (Array.isArray(licenses)) return licenses.map((entry) => entry.type ?? entry).join(' OR ');
  return 'none stated';
}

function countFile(path, owner) {
  const { size } = lstatSync(path);
  found.files += 1;
  found.bytes += size;
  const ending = extname(path) || '(none)';
  const kind = found.byEnding.get(ending) ?? { files: 0, bytes: 0 };
  found.byEnding.set(ending, { files: kind.files + 1, bytes: kind.bytes + size });
  if (owner) {
    owner.files += 1;
    owner.bytes += size;
  }
  const secret = secretIn(path, size);
  if (secret) found.secrets.push({ path: relative(folder, path), kind: secret });
}

function secretIn(path, size) {
  const name = basename(path);
  const byName = SECRET_NAMES.find(([pattern]) => pattern.test(name));
  if (byName) return byName[1];
  if (size > SCAN_BYTES_MAX || !TEXT_ENDINGS.has(extname(name))) return undefined;
  const text = readStart(path, size);
  return SECRET_CONTENTS.find(([pattern]) => pattern.test(text))?.[1];
}

function readStart(path, size) {
  const bytes = Buffer.allocUnsafe(size);
  const file = openSync(path, 'r');
  try {
    return bytes.toString('latin1', 0, readSync(file, bytes, 0, size, 0));
  } finally {
    closeSync(file);
  }
}

function summarise() {
  const versions = new Map();
  for (const { name, version } of found.packages) versions.set(name, new Set([...(versions.get(name) ?? []), version]));
  const duplicates = [...versions]
    .filter(([, set]) => set.size > 1)
    .map(([name, set]) => ({ name, versions: [...set].sort() }));
  const licences = Object.groupBy(found.packages, ({ licence }) => licence);
  return {
    folder,
    totals: {
      files: found.files,
      bytes: found.bytes,
      packages: found.packages.length,
      licences: Object.keys(licences).length,
      with_install_scripts: found.packages.filter(({ scripts }) => scripts.length > 0).length,
      duplicate_versions: duplicates.length,
      secret_like_files: found.secrets.length,
    },
    licences: Object.entries(licences)
      .map(([licence, list]) => ({ licence, packages: list.length }))
      .sort((a, b) => b.packages - a.packages),
    install_scripts: found.packages
      .filter(({ scripts }) => scripts.length > 0)
      .map(({ name, version, scripts }) => ({ name, version, scripts })),
    duplicates,
    secrets: found.secrets,
    endings: [...found.byEnding]
      .map(([ending, sums]) => ({ ending, ...sums }))
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, LISTED_MAX),
    packages: found.packages.sort((a, b) => b.bytes - a.bytes),
  };
}

function markdown({ totals, licences, install_scripts, duplicates, secrets, packages, endings }) {
  const mib = (bytes) => `${(bytes / 1_048_576).toFixed(1)} MiB`;
  const table = (head, rows) =>
    [
      `| ${head.join(' | ')} |`,
      `|${head.map(() => ' --- ').join('|')}|`,
      ...rows.map((row) => `| ${row.join(' | ')} |`),
    ].join('\n');
  const listed = (rows) => (rows.length > LISTED_MAX ? `\n\n(${rows.length - LISTED_MAX} more in report.json)` : '');
  const section = (title, head, rows, none) =>
    `## ${title}\n\n${rows.length === 0 ? none : table(head, rows.slice(0, LISTED_MAX)) + listed(rows)}\n`;
  return [
    '# What is in this folder\n',
    `${totals.files} files, ${mib(totals.bytes)}, ${totals.packages} packages under ${totals.licences} licences; ` +
      `${totals.with_install_scripts} with install scripts, ${totals.duplicate_versions} in more than one version, ` +
      `${totals.secret_like_files} files that look like secrets.\n`,
    section(
      'Licences',
      ['licence', 'packages'],
      licences.map((row) => [row.licence, row.packages]),
      'No package states one.',
    ),
    section(
      'Largest packages',
      ['package', 'version', 'licence', 'files', 'size'],
      packages.map((p) => [p.name, p.version, p.licence, p.files, mib(p.bytes)]),
      'No package found.',
    ),
    section(
      'Install scripts',
      ['package', 'version', 'scripts'],
      install_scripts.map((p) => [p.name, p.version, p.scripts.join(', ')]),
      'None.',
    ),
    section(
      'More than one version',
      ['package', 'versions'],
      duplicates.map((d) => [d.name, d.versions.join(', ')]),
      'None.',
    ),
    section(
      'Files that look like secrets',
      ['file', 'kind'],
      secrets.map((s) => [s.path, s.kind]),
      'None.',
    ),
    section(
      'Kinds of files',
      ['ending', 'files', 'size'],
      endings.map((e) => [e.ending, e.files, mib(e.bytes)]),
      'None.',
    ),
  ].join('\n');
}
