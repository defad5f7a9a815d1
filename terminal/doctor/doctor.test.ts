/** `tally doctor` as its caller sees it: what is loose or away is told, and where it looked. */
import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { startFakePlatform } from '@tallystick/sdk/testing';
import { openTerminal } from '../testing/terminal.ts';
import { skewOf } from './platform.ts';

test('a clock that is off is told from one that is not', () => {
  const theirs = Date.UTC(2026, 10, 21);
  const header = new Date(theirs).toUTCString();
  assert.equal(skewOf(header, theirs + 400, theirs + 600).state, 'good');
  assert.equal(skewOf(header, theirs + 90_000, theirs + 90_010).state, 'bad');
  assert.match(skewOf(header, theirs - 3_600_000, theirs - 3_600_000).what, /behind/);
  assert.equal(skewOf(null, 0, 0).state, 'open');
});

test('doctor tries things and says what is missing', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal(fake.url);
  assert.equal((await terminal.run('login', '--new')).code, 0);
  const { out } = await terminal.run('doctor', '--no-host', '--json');
  const { findings } = JSON.parse(out) as { findings: { name: string; state: string }[] };
  assert.deepEqual(
    findings.filter(({ state }) => state !== 'good'),
    [],
  );
  await chmod(terminal.home, 0o755);
  const loose = await terminal.run('doctor', '--no-host');
  assert.equal(loose.code, 1);
  assert.match(loose.out, /FAIL home folder .*\n.*chmod 700/);
  const onHost = (await terminal.run('doctor', '--json')).out;
  for (const name of ['bubblewrap', 'isolation level', 'gvisor']) assert.ok(onHost.includes(`"${name}"`), name);
});

test('doctor looks at the data folder that it is told, and says where it looked', async () => {
  await using fake = await startFakePlatform();
  await using terminal = await openTerminal('http://127.0.0.1:1');
  const told = async (...argv: string[]): Promise<Record<string, { state: string; what: string }>> => {
    const { findings } = JSON.parse((await terminal.run('doctor', '--json', ...argv)).out);
    return Object.fromEntries((findings as { name: string }[]).map((one) => [one.name, one])) as never;
  };
  const folder = join(terminal.folder, 'elsewhere');
  const missing = await told('--data', 'elsewhere');
  assert.equal(missing['platform reachable']?.what, `no platform runs with its data in ${folder}`);
  assert.ok(missing['data folder']?.what.startsWith(`${folder} (not there yet): `), missing['data folder']?.what);
  assert.equal(missing['database']?.what, `no embedded server runs with its data in ${folder}`);
  await mkdir(join(folder, 'run'), { recursive: true });
  await writeFile(join(folder, 'run', 'api.json'), JSON.stringify({ url: fake.url, isolation: 'ns' }));
  const found = await told('--data', 'elsewhere');
  assert.deepEqual([found['platform reachable']?.state, found['platform reachable']?.what], ['good', fake.url]);
  assert.equal(found['isolation level']?.what, 'sandboxes run at level ns');
  assert.equal(found['port']?.what, `the platform with its data in ${folder} has it`);
  assert.match(JSON.stringify(found['login']), new RegExp(`no login for ${fake.url}.*tally login --url ${fake.url}`));
  terminal.env['TALLY_DATA'] = folder;
  delete terminal.env['TALLY_URL'];
  assert.equal((await terminal.run('login', '--new')).code, 0);
  const moved = fake.url.replace('127.0.0.1', 'localhost');
  await writeFile(join(folder, 'run', 'api.json'), JSON.stringify({ url: moved, isolation: 'ns' }));
  assert.equal(
    (await told('--data', 'elsewhere', '--no-host'))['login']?.state,
    'good',
    'the login moves with the platform',
  );
});
