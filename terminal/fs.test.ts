/** `tally fs` as a person uses it: what each verb asks for, prints and refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakePlatform, startFakePlatform } from '@tallystick/sdk/testing';
import { openTerminal, type TestTerminal } from './testing/terminal.ts';

async function scene(fake: FakePlatform): Promise<{ terminal: TestTerminal; sandbox: string }> {
  const terminal = await openTerminal(fake.url);
  terminal.env['TALLY_API_KEY'] = fake.addKey();
  const job = JSON.parse((await terminal.run('job', 'create', '--budget', '$1', '--json')).out);
  const sandbox = JSON.parse((await terminal.run('sandbox', 'create', '--job', job.id, '--json')).out);
  return { terminal, sandbox: sandbox.id };
}

test('files are listed, told, printed in part, made, moved and removed', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  fake.files.set('a.txt', Buffer.from('alphabet'));
  const fs = async (verb: string, ...rest: string[]): Promise<string> => {
    const said = await terminal.run('fs', verb, sandbox, ...rest);
    assert.equal(said.code, 0, said.err);
    return said.out;
  };
  assert.match(await fs('ls'), /a\.txt/);
  assert.deepEqual(JSON.parse(await fs('ls', '--json')).entries.length, 1);
  const { type, bytes, sha256 } = JSON.parse(await fs('stat', 'a.txt', '--digest', '--json'));
  assert.deepEqual([type, bytes, sha256.length], ['file', 8, 64]);
  assert.equal(await fs('cat', 'a.txt'), 'alphabet');
  assert.equal(await fs('cat', 'a.txt', '--offset', '2', '--length', '3'), 'pha');
  const { content_base64: content } = JSON.parse(await fs('cat', 'a.txt', '--json'));
  assert.equal(Buffer.from(content, 'base64').toString(), 'alphabet');
  assert.equal(await fs('mkdir', 'made', '-p'), 'made made\n');
  assert.equal(await fs('mkdir', 'made', '--parents'), 'made was there already\n');
  assert.equal(await fs('mv', 'a.txt', 'made/b.txt', '--key', 'mv-1'), 'moved a.txt to made/b.txt\n');
  assert.ok(fake.changes.includes('mv-1 movePath a.txt made/b.txt'));
  assert.equal(await fs('rm', 'made', '--recursive'), 'removed made (2 entries)\n');
  assert.equal(fake.files.size, 0);
});

test('a refusal is told with its code, and a wrong option before anything is asked', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  fake.files.set('made/a', Buffer.from('x'));
  const code = async (...argv: string[]): Promise<string> => {
    const said = await terminal.run('fs', ...argv, '--json');
    return said.code === 0 ? '' : JSON.parse(said.err).error.code;
  };
  assert.equal(await code('stat', sandbox, 'none'), 'file_not_found');
  assert.equal(await code('rm', sandbox, 'made'), 'directory_not_empty');
  assert.equal(await code('mkdir', sandbox, 'made'), 'file_exists');
  assert.equal((await terminal.run('fs', 'cat', sandbox, 'made/a', '--length', '0')).code, 2);
  assert.equal((await terminal.run('fs', 'stat', 'made')).code, 2);
});

test('watch tells every event on a line until it was enough, or until interrupted', async () => {
  await using fake = await startFakePlatform();
  const { terminal, sandbox } = await scene(fake);
  await using _ = terminal;
  const opened = async (count: number): Promise<void> => {
    while (fake.watches.opened.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const two = terminal.run('fs', 'watch', sandbox, 'src', '--recursive', '--max', '2');
  await opened(1);
  fake.watches.tell({ kind: 'created', path: 'src/a', type: 'file' });
  fake.watches.tell({ kind: 'moved', path: 'src/b', from: 'src/a', type: 'file' });
  assert.equal((await two).out, 'created   src/a\nmoved     src/a -> src/b\n');
  const json = terminal.run('fs', 'watch', sandbox, 'src', '--json', '--max', '1');
  await opened(2);
  fake.watches.tell({ kind: 'missed', path: 'src', reason: 'behind' });
  assert.deepEqual(JSON.parse((await json).out), { kind: 'missed', path: 'src', reason: 'behind' });
  const endless = terminal.run('fs', 'watch', sandbox, 'src');
  await opened(3);
  terminal.interrupt();
  assert.equal((await endless).code, 0);
});
