/** What doctor says of a machine on which something is missing: each thing is taken away, then tried. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as listenOn } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { type Io, processIo } from '../io.ts';
import { findAddress } from '../session.ts';
import { hostProbes } from './host.ts';
import { platformProbes } from './platform.ts';
import type { Outcome } from './probe.ts';

const worldWith = (env: Record<string, string>): Io => ({ ...processIo(), env });

async function finding(io: Io, name: string, path?: string): Promise<Outcome> {
  const found = hostProbes(io, path).find((candidate) => candidate.name === name);
  assert.ok(found, name);
  return found.attempt();
}

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tally-doctor-test-'));
  try {
    await act(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const PROGRAMS: [probe: string, says: RegExp, advice: RegExp][] = [
  ['bubblewrap', /bwrap is not installed/, /apt-get install bubblewrap/],
  ['user namespaces', /unshare is not installed/, /util-linux/],
  ['user ids', /setpriv is not installed/, /apt-get install util-linux/],
  ['disks', /mkfs\.ext4 is not installed/, /apt-get install e2fsprogs/],
];
for (const [name, says, advice] of PROGRAMS)
  test(`${name}: a program that is missing is named, with the package that brings it`, () =>
    inFolder(async (folder) => {
      const told = await finding(worldWith({ TALLY_DATA: folder }), name, '/nowhere');
      assert.equal(told.state, 'bad');
      assert.match(told.what, says);
      assert.match(told.advice, advice);
    }));

test('a data folder that cannot be made or written is named', () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, 'file'), '');
    for (const place of [join(folder, 'file', 'data'), '/proc/tally']) {
      const told = await finding(worldWith({ TALLY_DATA: place }), 'data folder');
      assert.equal(told.state, 'bad', place);
      assert.match(told.advice, /TALLY_DATA/);
    }
  }));

test('a data folder is tried where it would be made, and nothing is left there', () =>
  inFolder(async (folder) => {
    const told = await finding(worldWith({ TALLY_DATA: join(folder, 'not', 'there', 'yet') }), 'data folder');
    assert.match(told.what, /MiB free/);
    assert.deepEqual(await readdir(folder), []);
  }));

const SIZES: [size: string, says: RegExp][] = [
  ['1m', /takes no 8 MiB: ENOSPC/],
  ['64m', /MiB free, 1024 are needed/],
];
for (const [size, says] of SIZES)
  test(`a disk that is full is told: ${size}`, () =>
    inFolder(async (folder) => {
      const small = join(folder, 'small');
      await mkdir(small);
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tally-doctor-test', small]);
      try {
        const told = await finding(worldWith({ TALLY_DATA: small }), 'data folder');
        assert.equal(told.state, 'bad');
        assert.match(told.what, says);
        assert.match(told.advice, /Make room/);
        assert.deepEqual(await readdir(small), []);
      } finally {
        execFileSync('umount', [small]);
      }
    }));

test('a port that another program has is told, with what the next start does', () =>
  inFolder(async (folder) => {
    const other = listenOn();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    await writeFile(join(folder, 'ports.json'), JSON.stringify({ api: port }));
    const io = worldWith({ TALLY_DATA: folder });
    const told = await finding(io, 'port');
    assert.deepEqual([told.state, told.what], ['open', `${port} is taken by another program`]);
    await new Promise((resolve) => other.close(resolve));
    assert.deepEqual((await finding(io, 'port')).what, `${port} is free`);
  }));

test('a database whose socket refuses is told', () =>
  inFolder(async (folder) => {
    const io = worldWith({ TALLY_DATA: folder });
    const { state, what, advice } = await finding(io, 'database');
    assert.deepEqual([state, what], ['open', `no embedded server runs with its data in ${folder}`]);
    assert.match(advice, /tally doctor --data DIR/);
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data', 'postmaster.pid'), ['1', folder, '0', '5432', folder, ''].join('\n'));
    const told = await finding(io, 'database');
    assert.equal(told.state, 'bad');
    assert.match(told.what, /refuses connections/);
  }));

test('a clock that differs from the one of the receipts is told, whatever the Date header says', async () => {
  let skewMs = 0;
  const server = createServer((_request, answer) => {
    answer.setHeader('content-type', 'application/json');
    answer.end(JSON.stringify({ status: 'ok', checks: {}, at: new Date(Date.now() + skewMs).toISOString() }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clock = platformProbes(processIo(), () => findAddress(processIo(), url)).find(({ name }) => name === 'clock')!;
  const rows: [number, Outcome['state'], RegExp][] = [
    [0, 'good', /within a second/],
    [20_000, 'good', /20 s behind/],
    [60_000, 'bad', /60 s behind/],
    [-3_600_000, 'bad', /3600 s ahead/],
  ];
  for (const [ahead, state, says] of rows) {
    skewMs = ahead;
    const told = await clock.attempt();
    assert.equal(told.state, state, told.what);
    assert.match(told.what, says);
  }
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
