/**
 * What people get who install the packed sdk into a project of their own: a package that runs there, with types.
 * Promise: packed as it would be published, unpacked outside this repository; of it only the published dependencies are lent.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Platform, ROOT, startPlatform } from './harness/platform.ts';

const NODE_MIN = [20, 11] as const;

const LIFE = `import { ApiError, connect, login, newPrivateKey, signerOfPrivateKey } from '@tallystick/sdk';
const baseUrl = process.env.TALLY_URL;
const { secret } = await login({ baseUrl, signer: signerOfPrivateKey(newPrivateKey()) });
const tally = connect({ baseUrl, apiKey: secret });
await tally.depositDevelopment(1_000_000n);
const job = await tally.jobs.create({ name: 'elsewhere', maxTotalSpendMicros: 500_000n });
const wishes = { name: 'one', ramMib: 256, diskMib: 128 };
const sandbox = await job.sandboxes.create(wishes);
const { id } = await job.sandboxes.create(wishes);
const { stdout } = await sandbox.exec(['echo', 'hello']);
const run = await sandbox.execStream(['sh', '-c', 'echo 1; sleep 0.1; echo 2']);
let streamed = '';
for await (const { bytes } of run) streamed += Buffer.from(bytes).toString();
const { end } = await run.outcome;
const refused = await job.sandboxes.create({ ...wishes, ramMib: 512 }).catch((fault) => fault instanceof ApiError && fault.code);
await sandbox.destroy();
console.log(JSON.stringify({ same: id === sandbox.id, stdout, streamed, end, refused }));
`;

const TYPES = `import { connect, type Job, login, newPrivateKey, type Sandbox, signerOfPrivateKey } from '@tallystick/sdk';
const { secret } = await login({ baseUrl: 'http://x', signer: signerOfPrivateKey(newPrivateKey()) });
const job: Job = await connect({ baseUrl: 'http://x', apiKey: secret }).jobs.create({ maxTotalSpendMicros: 1n });
await using sandbox: Sandbox = await job.sandboxes.create();
export const spent: bigint = sandbox.state!.spentMicros;
// @ts-expect-error an amount is a bigint
await job.extend({ addSpendMicros: 1 });
`;

interface Manifest {
  dependencies: Record<string, string>;
  exports: { '.': { types: string; default: string } };
}

/** Lends a package of this repository's node_modules to the project. */
function lend(project: string, name: string): void {
  const place = join(project, 'node_modules', name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules', name), place);
}

/** Every Node on this machine that is new enough and of another major version than ours, and ours. */
function nodes(): string[] {
  const elsewhere = ['/usr/local/bin/node', '/usr/bin/node'].filter((path) => existsSync(path));
  const isEnough = (path: string): boolean => {
    const version = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout.trim();
    const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
    return major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  };
  return [process.execPath, ...elsewhere.filter(isEnough)];
}

describe('the sdk installs elsewhere', () => {
  let project: string;
  let manifest: Manifest;
  let platform: Platform;
  before(async () => {
    platform = await startPlatform();
    project = mkdtempSync(join(tmpdir(), 'tally-elsewhere-'));
    const packing = spawnSync(process.execPath, [join(ROOT, 'tools', 'pack-sdk.ts'), project], { encoding: 'utf8' });
    assert.equal(packing.status, 0, packing.stderr);
    const place = join(project, 'node_modules', '@tallystick', 'sdk');
    mkdirSync(place, { recursive: true });
    const [file = ''] = packing.stdout.trim().split('\n').slice(-1);
    const untar = ['-xzf', join(process.cwd(), file), '--strip-components=1', '-C', place];
    assert.equal(spawnSync('tar', untar).status, 0);
    manifest = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')) as Manifest;
    for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'undici-types']) lend(project, name);
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    if (project) rmSync(project, { recursive: true, force: true });
  });

  test('it depends on published packages alone, exactly pinned', () => {
    const { dependencies } = manifest;
    for (const [name, version] of Object.entries(dependencies)) {
      assert.doesNotMatch(name, /^@tallystick\//);
      assert.match(version, /^[0-9]+\.[0-9]+\.[0-9]+$/, name);
    }
    const place = join(project, 'node_modules', '@tallystick', 'sdk');
    for (const file of Object.values(manifest.exports['.'])) assert.ok(existsSync(join(place, file)), file);
  });

  for (const node of nodes())
    test(`a whole life under ${node.startsWith(ROOT) ? 'the Node of this repository' : node}`, async () => {
      writeFileSync(join(project, 'life.mjs'), LIFE);
      const child = spawn(node, ['life.mjs'], {
        cwd: project,
        env: { PATH: process.env['PATH'] ?? '', TALLY_URL: platform.url },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      const [code] = (await once(child, 'close')) as [number | null];
      assert.equal(code, 0, err);
      assert.deepEqual(JSON.parse(out), {
        same: true,
        stdout: 'hello\n',
        streamed: '1\n2\n',
        end: 'exited',
        refused: 'idempotency_key_reused',
      });
    });

  test('its types say what is right and what is not', () => {
    writeFileSync(join(project, 'types.ts'), TYPES);
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'esnext', '--types', 'node'];
    const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
    const ran = spawnSync(tsc, [...flags, 'types.ts'], { cwd: project, encoding: 'utf8' });
    assert.equal(ran.stdout + ran.stderr, '');
  });
});
