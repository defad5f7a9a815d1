/**
 * The set-up script in small planted clones, with real npm and no network.
 * Promise: it installs once, notices a changed lock, heals what a crash left, and names what is missing.
 */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

const SCRIPT = join(import.meta.dirname, 'bootstrap.mjs');
const PAST = new Date(0);

/** A package that depends on nothing: npm installs it without the network. */
function plantPackage(folder: string, version: string): void {
  mkdirSync(folder, { recursive: true });
  const root = { name: 'planted', version };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(root));
  writeFileSync(
    join(folder, 'package-lock.json'),
    JSON.stringify({ ...root, lockfileVersion: 3, requires: true, packages: { '': root } }),
  );
}

describe('set-up of a clone', () => {
  const root = mkdtempSync(join(tmpdir(), 'tally-set-up-'));
  const lock = join(root, '.tally', 'set-up.lock');

  function setUp(purpose: string, env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
    const { npm_execpath: _, ...own } = process.env;
    const args = [join(root, 'tools', 'bootstrap.mjs'), ...(purpose ? ['--for', purpose] : [])];
    return spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...own, TALLY_SYSTEM_PACKAGES: 'off', ...env },
    });
  }

  before(() => {
    plantPackage(root, '1.0.0');
    plantPackage(join(root, 'tools', 'contracts'), '1.0.0');
    copyFileSync(SCRIPT, join(root, 'tools', 'bootstrap.mjs'));
  });
  after(() => rmSync(root, { recursive: true }));

  it('refuses an unknown or missing purpose with its usage', () => {
    for (const purpose of ['', 'nothing']) {
      const ran = setUp(purpose);
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /usage: .*--for start\|demo\|test\|bench\|check/);
    }
  });

  it('installs as locked the first time and says so, then is silent', () => {
    const first = setUp('check');
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /installed packages in [\d.]+ s\n[\s\S]*installed the proto compiler in/);
    const second = setUp('check');
    assert.deepEqual([second.status, second.stdout], [0, '']);
  });

  it('installs again when the lock file changed', () => {
    plantPackage(root, '1.0.1');
    rmSync(join(root, 'node_modules', '.package-lock.json'), { force: true });
    assert.match(setUp('check').stdout, /installed packages/);
    assert.equal(setUp('check').stdout, '');
  });

  it('takes over what npm itself installed as locked', () => {
    rmSync(join(root, 'node_modules', '.tally-stamp'));
    writeFileSync(join(root, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: {} }));
    assert.equal(setUp('check').stdout, '');
  });

  it('installs anew where npm left out an optional package that is for this machine', () => {
    const { platform, arch } = process;
    const plantOptional = (os: string): void => {
      const part = { version: '1.0.0', optional: true, os: [os], cpu: [arch] };
      const packages = { '': { name: 'planted', version: '1.0.1' }, 'node_modules/part': part };
      const lock = { name: 'planted', version: '1.0.1', lockfileVersion: 3, requires: true, packages };
      writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lock));
    };
    plantOptional('plan9');
    assert.equal(setUp('check').stdout, '', 'it is for another machine');
    plantOptional(platform);
    assert.match(setUp('check').stdout, /installing packages as locked/);
    plantPackage(root, '1.0.1');
    setUp('check');
  });

  it('installs with the Node that it found, not with the first one in the way', () => {
    const old = join(root, 'old');
    mkdirSync(old);
    writeFileSync(join(old, 'node'), '#!/bin/sh\necho an old node >&2\nexit 9\n', { mode: 0o755 });
    rmSync(join(root, 'node_modules'), { recursive: true });
    const ran = setUp('check', { PATH: [old, process.env['PATH']].join(delimiter) });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /installed packages/);
  });

  it('takes the lock over from a set-up that died', () => {
    mkdirSync(lock, { recursive: true });
    writeFileSync(join(lock, 'pid'), String(spawnSync(process.execPath, ['--version']).pid));
    assert.equal(setUp('check').status, 0);
    mkdirSync(lock);
    utimesSync(lock, PAST, PAST);
    assert.equal(setUp('check').status, 0);
    assert.ok(!existsSync(lock));
  });

  it('names what is missing and what is lost, and goes on', () => {
    const ran = setUp('bench', { PATH: dirname(root) });
    assert.equal(ran.status, 0, ran.stderr);
    const expected =
      process.platform === 'linux'
        ? /missing bwrap \(Debian package bubblewrap\); without it you lose/
        : /Linux is needed/;
    assert.match(ran.stdout, expected);
  });

  it('fails with the cause when npm cannot install', () => {
    plantPackage(root, '1.0.2');
    rmSync(join(root, 'node_modules', '.package-lock.json'), { force: true });
    writeFileSync(join(root, 'package.json'), 'no JSON');
    const ran = setUp('check');
    assert.equal(ran.status, 1);
    assert.match(ran.stderr, /npm ci failed 2 times for packages:\n.*npm/);
  });
});
