/** Opening and migrating: newer schemas are refused, programs may start at once, the program ends what it started. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { asOwner } from '../testing.ts';
import { migrate, openDatabase } from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '..', 'migrations');

describe('embedded database', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tally-db-'));
  const migrations = mkdtempSync(join(tmpdir(), 'tally-migrations-'));
  after(async () => {
    await (await openDatabase({ folder })).stop();
    for (const path of [folder, migrations]) rmSync(path, { recursive: true, force: true });
  });

  test('[I-35] a newer schema and a changed migration are refused with a reason', async () => {
    const database = await openDatabase({ folder, settings: { fsync: 'off' } });
    cpSync(MIGRATIONS, migrations, { recursive: true });
    const { to } = await migrate(database);
    assert.ok(to >= 1);
    assert.deepEqual(await migrate(database), { from: to, to });
    writeFileSync(join(migrations, '9999-tomorrow.sql'), 'create table engine.tomorrow (a int);');
    assert.deepEqual(await migrate(database, migrations), { from: to, to: 9999 });
    await assert.rejects(migrate(database), /9999-tomorrow, which this version does not know: start a newer version/);
    writeFileSync(join(migrations, '9999-tomorrow.sql'), 'select 1');
    await assert.rejects(migrate(database, migrations), /9999-tomorrow was changed after/);
  });

  test('a migration that fails leaves nothing behind', async () => {
    const database = await openDatabase({ folder, settings: { fsync: 'off' } });
    writeFileSync(join(migrations, '9999-tomorrow.sql'), 'create table engine.tomorrow (a int);');
    const broken = mkdtempSync(join(tmpdir(), 'tally-migrations-'));
    cpSync(migrations, broken, { recursive: true });
    writeFileSync(join(broken, '9999-zzz.sql'), 'create table engine.half (a int); select nothing_like_this();');
    await assert.rejects(migrate(database, broken), /nothing_like_this/);
    const tables = await asOwner(
      database,
      async (client) => (await client.query(`select to_regclass('engine.half') as half`)).rows[0].half,
    );
    assert.equal(tables, null);
    rmSync(broken, { recursive: true });
  });

  test('a server that cannot start says why, from its log', async () => {
    const bad = mkdtempSync(join(tmpdir(), 'tally-db-'));
    await assert.rejects(
      openDatabase({ folder: bad, settings: { min_wal_size: '16MB' }, startMsMax: 500 }),
      /min_wal_size/,
    );
    rmSync(bad, { recursive: true, force: true });
  });
});

interface Program {
  child: ChildProcess;
  ready: Promise<{ ready: boolean; postmaster: number; from: number; to: number }>;
}

const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL'); // those of a test that failed
});

function startProgram(folder: string): Program {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--folder', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  const ready = once(createInterface({ input: child.stdout! }), 'line').then(([line]) => JSON.parse(line));
  return { child, ready };
}

test('three programs started at once on an empty folder end with one server and one migration; SIGTERM ends it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tally-db-'));
  const programs = [1, 2, 3].map(() => startProgram(folder));
  const lines = await Promise.all(programs.map((program) => program.ready));
  assert.equal(new Set(lines.map((line) => line.postmaster)).size, 1);
  assert.deepEqual(lines.map((line) => line.from === 0).filter(Boolean).length, 1);
  const ended = Promise.all(programs.map(({ child }) => once(child, 'exit')));
  for (const { child } of programs) child.kill('SIGTERM');
  assert.deepEqual(
    (await ended).map(([code]) => code),
    [0, 0, 0],
  );
  assert.throws(() => readFileSync(join(folder, 'data', 'postmaster.pid')), { code: 'ENOENT' });
  assert.throws(() => process.kill(lines[0]!.postmaster, 0), { code: 'ESRCH' });
  rmSync(folder, { recursive: true, force: true });
});

test('a server that outlived its starter is attached to', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tally-db-'));
  const first = startProgram(folder);
  const { postmaster } = await first.ready;
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const second = startProgram(folder);
  assert.equal((await second.ready).postmaster, postmaster);
  second.child.kill('SIGINT');
  assert.deepEqual((await once(second.child, 'exit'))[0], 0);
  rmSync(folder, { recursive: true, force: true });
});
