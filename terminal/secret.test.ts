/** `tally secret` and `tally sandbox attestation` as a person uses them. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import { openTerminal, type TestTerminal } from './testing/terminal.ts';

const VALUE = 'correct-horse-battery';

async function scene(fake: FakePlatform): Promise<{ terminal: TestTerminal; sandbox: string }> {
  const terminal = await openTerminal(fake.url);
  terminal.env['TALLY_API_KEY'] = fake.addKey();
  const job = JSON.parse((await terminal.run('job', 'create', '--budget', '$1', '--json')).out);
  const sandbox = JSON.parse((await terminal.run('sandbox', 'create', '--job', job.id, '--json')).out);
  return { terminal, sandbox: sandbox.id };
}

test('a secret goes in by standard input or a file, is listed by name, and reaches a command', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  const stdin = Readable.from([Buffer.from(`${VALUE}\n`)]);
  const put = await terminal.runWith({ stdin }, 'secret', 'put', sandbox, 'TOKEN', '--json');
  assert.equal(put.code, 0, put.err);
  assert.equal(fake.secrets.values.get(`${sandbox} TOKEN`), VALUE);
  await writeFile(join(terminal.folder, 'key.pem'), `${VALUE}\nsecond line\n`);
  const { wardenKey } = fake.secrets;
  const file = ['--from-file', 'key.pem', '--warden-key', wardenKey];
  assert.equal((await terminal.run('secret', 'put', sandbox, 'PEM', ...file)).code, 0);
  assert.equal(fake.secrets.values.get(`${sandbox} PEM`), `${VALUE}\nsecond line`);
  assert.equal((await terminal.run('secret', 'put', sandbox, 'PEM', ...file, '--exact')).code, 0);
  assert.equal(fake.secrets.values.get(`${sandbox} PEM`), `${VALUE}\nsecond line\n`);
  const listed = await terminal.run('secret', 'list', sandbox, '--json');
  assert.deepEqual(
    JSON.parse(listed.out).secrets.map(({ name }: { name: string }) => name),
    ['TOKEN', 'PEM'],
  );
  for (const { out, err } of [put, listed]) assert.ok(!`${out}${err}`.includes(VALUE));
  const ran = await terminal.run('exec', sandbox, '--secret', 'TOKEN', '--sensitive', '--', 'env');
  assert.equal(ran.out, `TOKEN=${VALUE}\n`);
});

test('one line end at the end of a file or of standard input is left out, and that is told', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  const rows: [text: string, value: string, isTold: boolean][] = [
    [`${VALUE}`, VALUE, false],
    [`${VALUE}\n`, VALUE, true],
    [`${VALUE}\r\n`, VALUE, true],
    [`${VALUE}\n\n`, `${VALUE}\n`, true],
  ];
  for (const [text, value, isTold] of rows) {
    await writeFile(join(terminal.folder, 'value.txt'), text);
    for (const how of [['--from-file', 'value.txt'], ['--from-file', '-'], ['--stdin'], []]) {
      const stdin = Readable.from([Buffer.from(text)]);
      const said = await terminal.runWith({ stdin }, 'secret', 'put', sandbox, 'TOKEN', ...how);
      assert.equal(said.code, 0, said.err);
      assert.equal(fake.secrets.values.get(`${sandbox} TOKEN`), value);
      assert.equal(/line end/.test(said.err), isTold, said.err);
    }
  }
});

test('at a keyboard the value is asked for, and what is typed is not shown', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  const stdin = Object.assign(Readable.from([Buffer.from(`${VALUE}\r`)]), { isTTY: true });
  const said = await terminal.runWith({ stdin }, 'secret', 'put', sandbox, 'TOKEN');
  assert.equal(said.code, 0, said.err);
  assert.match(said.err, /Value of TOKEN \(not shown\): /);
  assert.equal(fake.secrets.values.get(`${sandbox} TOKEN`), VALUE);
  assert.ok(!`${said.out}${said.err}`.includes(VALUE));
});

test('what is wrong about a secret is told before anything is sent', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  const put = (stdin: string, ...more: string[]) =>
    terminal.runWith({ stdin: Readable.from([Buffer.from(stdin)]) }, 'secret', 'put', sandbox, ...more);
  assert.match((await put('short', 'TOKEN')).err, /at least 8 bytes/);
  assert.equal((await put(VALUE, 'NOT-A-NAME')).code, 2);
  assert.equal((await put(VALUE, 'TOKEN', '--stdin', '--from-file', 'x')).code, 2);
  const left = Object.assign(Readable.from([]), { isTTY: true });
  assert.match((await terminal.runWith({ stdin: left }, 'secret', 'put', sandbox, 'TOKEN')).err, /No value was given/);
  const other = await put(VALUE, 'TOKEN', '--warden-key', `${'A'.repeat(43)}=`);
  assert.equal(other.code, 1);
  assert.match(other.err, /not signed by the key of the warden/);
  assert.equal(fake.secrets.values.size, 0);
  assert.match((await terminal.run('exec', sandbox, '--secret', 'MORE', '--', 'env')).err, /tally secret put/);
});

test('an attestation is verified and shown', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  const said = await terminal.run('sandbox', 'attestation', sandbox, '--json');
  const told = JSON.parse(said.out);
  assert.deepEqual(
    [told.sandbox, told.warden_key, told.image],
    [sandbox, fake.secrets.wardenKey, 'sandbox-base:v1.0.0'],
  );
});
