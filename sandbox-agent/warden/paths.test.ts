/** Single paths through the warden: what is told, what is refused in which word, and what a hostile tenant does to it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type WardenProcess, wardenFor } from '../testing/warden-process.ts';

const S0 = '/v1/sandboxes/s0';
const MIB = 1 << 20;

describe('paths of a sandbox', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];
  let changes = 0;

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Parameters<typeof wardenFor>[0]);
    const made = await warden.create(300_000);
    assert.equal(made.status, 200, made.bytes.toString());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  const run = async (line: string): Promise<string> => {
    const exec_id = `run-${++changes}`;
    await warden.call('POST', `${S0}/execs`, { exec_id, argv: ['sh', '-c', line] });
    const { end } = (await warden.call('GET', `${S0}/execs/${exec_id}?wait_ms=20000`)).json;
    const { json } = await warden.call('GET', `${S0}/execs/${exec_id}/output`);
    const chunks: { bytes_base64: string }[] = json.chunks;
    return `${chunks.map(({ bytes_base64: text }) => Buffer.from(text, 'base64')).join('')}[${end.code ?? end.end}]`;
  };
  const stat = async (path: string, query = '') =>
    (await warden.call('GET', `${S0}/stat?path=${encodeURIComponent(path)}${query}`)).json;
  const change = async (verb: string, body: object) =>
    (await warden.call('POST', `${S0}/${verb}`, { change_id: `change-${++changes}`, ...body })).json;
  const mkdir = (path: string, parents = false) => change('mkdir', { path, parents });
  const move = (path: string, to: string, overwrite = false) => change('move', { path, to, overwrite });
  const remove = (path: string, recursive = false) => change('remove', { path, recursive });

  test('stat tells a file with its digest, a folder, and a link as itself', async () => {
    await run('echo hello > ~/s; chmod 640 ~/s; mkdir ~/sd; ln -s /etc/passwd ~/sl; mkfifo ~/sp');
    const sha256 = createHash('sha256').update('hello\n').digest('hex');
    const file = await stat('s', '&digest=1');
    assert.deepEqual([file.type, file.bytes, file.mode, file.sha256], ['file', 6, 0o640, sha256]);
    assert.ok(Math.abs(file.modified_us - Date.now() * 1_000) < 60_000_000);
    assert.deepEqual([(await stat('s')).sha256, (await stat('sd', '&digest=1')).sha256], [null, null]);
    const link = await stat('sl', '&digest=1');
    assert.deepEqual([link.type, link.target, link.sha256], ['link', '/etc/passwd', null]);
    assert.equal((await stat('sp', '&digest=1')).type, 'other');
    assert.equal((await stat('none')).code, 'no_such_file');
    assert.equal((await stat('s/below')).code, 'not_a_folder');
  });

  test('the name of a link, however odd, costs nobody the machine', async () => {
    await run(`ln -s "$(head -c 4000 /dev/zero | tr '\\0' '\\001')" ~/odd`);
    assert.equal((await stat('odd')).target.length, 4_000);
    assert.equal((await stat('x'.repeat(300))).code, 'name_too_long');
    await run('ln -s loop2 ~/loop1; ln -s loop1 ~/loop2');
    assert.equal((await stat('loop1/x')).code, 'link_loop');
    const nul = await warden.call('GET', `${S0}/stat?path=a%00b`);
    assert.deepEqual([nul.status, nul.json.code], [400, 'invalid']);
    assert.equal((await mkdir('a\0b')).code, 'invalid');
  });

  test('mkdir makes one, or all above it, and never takes the place of something', async () => {
    assert.equal((await mkdir('m/a')).code, 'no_such_file');
    assert.deepEqual(await mkdir('m/a', true), { entries: 1 });
    assert.deepEqual(await mkdir('m/a', true), { entries: 0 });
    assert.equal((await mkdir('m/a')).code, 'file_exists');
    await run('echo x > ~/m/file');
    assert.equal((await mkdir('m/file', true)).code, 'file_exists');
    assert.equal((await mkdir('m/file/below', true)).code, 'not_a_folder');
    assert.equal((await mkdir('/usr/evil')).code, 'not_permitted');
  });

  test('a change that is asked for twice under one name happens once', async () => {
    await run('echo x > ~/twice');
    const body = { change_id: 'same', path: 'twice', recursive: false };
    const ask = async () => (await warden.call('POST', `${S0}/remove`, body)).json;
    assert.deepEqual(await Promise.all([ask(), ask()]), [{ entries: 1 }, { entries: 1 }]);
    await run('echo y > ~/twice');
    assert.deepEqual(await ask(), { entries: 1 });
    assert.equal((await stat('twice')).type, 'file');
  });

  test('move renames, and replaces only when it may', async () => {
    await run('mkdir -p ~/v/full/x ~/v/empty ~/v/dir; echo a > ~/v/a; echo b > ~/v/b; ln -s nowhere ~/v/l');
    assert.deepEqual(await move('v/a', 'v/c'), { entries: 1 });
    assert.equal((await move('v/a', 'v/d')).code, 'no_such_file');
    assert.equal((await move('v/c', 'v/b')).code, 'file_exists');
    assert.equal(await run('cat ~/v/b ~/v/c'), 'b\na\n[0]');
    assert.equal((await move('v/c', 'v/l')).code, 'file_exists');
    assert.deepEqual(await move('v/c', 'v/b', true), { entries: 1 });
    assert.equal(await run('cat ~/v/b; ls ~/v'), 'a\nb\ndir\nempty\nfull\nl\n[0]');
    assert.equal((await move('v/dir', 'v/full', true)).code, 'folder_not_empty');
    assert.equal((await move('v/dir', 'v/empty')).code, 'file_exists');
    assert.deepEqual(await move('v/dir', 'v/empty', true), { entries: 1 });
    assert.equal((await move('v/b', 'v/empty', true)).code, 'is_folder');
    assert.equal((await move('v/empty', 'v/b', true)).code, 'not_a_folder');
    assert.equal((await move('v', 'v/full/below')).code, 'into_itself');
    assert.deepEqual(await move('v/l/', 'v/link'), { entries: 1 });
    assert.equal((await stat('v/link')).target, 'nowhere');
    assert.equal((await move('v/b', '/tmp/b')).code, 'crosses_mounts');
    assert.equal((await move('v/full', '/tmp/full', true)).code, 'crosses_mounts');
    assert.equal((await move('/etc/passwd', 'v/passwd')).code, 'crosses_mounts');
  });

  test('remove takes a folder only when it is empty, or with all below it', async () => {
    await run('mkdir -p ~/r/a/b ~/r/e; for i in $(seq 600); do echo x > ~/r/a/$i; done; ln -s ~/r ~/r/a/up');
    assert.equal((await remove('r')).code, 'folder_not_empty');
    assert.deepEqual(await remove('r/e'), { entries: 1 });
    assert.deepEqual(await remove('r', true), { entries: 604 });
    assert.equal((await remove('r', true)).code, 'no_such_file');
    for (const path of ['.', '..', '/', 'x/..']) assert.equal((await remove(path, true)).code, 'file_fault', path);
    for (const path of ['/home/user', '/tmp']) assert.equal((await remove(path, true)).code, 'is_mount', path);
    for (const path of ['/home', '/usr/bin/env']) assert.equal((await remove(path, true)).code, 'not_permitted', path);
  });

  test('remove never follows a link out, whatever is swapped meanwhile', async () => {
    await run('mkdir ~/keep; echo k > ~/keep/k; mkdir -p ~/out/d; ln -s ~/keep ~/out/link; ln -s ~/keep ~/outlink');
    assert.deepEqual(await remove('out', true), { entries: 3 });
    assert.deepEqual(await remove('outlink/', true), { entries: 1 });
    assert.equal(await run('cat ~/keep/k'), 'k\n[0]');
    // a folder and a link to what must stay change places as fast as they can while the tree around them is removed
    const swap = `mkdir -p ~/race; for i in $(seq 200); do mkdir ~/race/$i; echo x > ~/race/$i/f; done
      perl -e 'for (1..20000) { my $n = 1 + int rand 200; rename "$ENV{HOME}/race/$n", "$ENV{HOME}/race/t";
        symlink "$ENV{HOME}/keep", "$ENV{HOME}/race/$n"; unlink "$ENV{HOME}/race/$n"; rename "$ENV{HOME}/race/t", "$ENV{HOME}/race/$n" }'`;
    await warden.call('POST', `${S0}/execs`, { exec_id: 'swap', argv: ['sh', '-c', swap] });
    for (let round = 0; round < 100; round += 1) await remove('race', true);
    await warden.call('POST', `${S0}/execs/swap/signal`, { signal: 'SIGKILL' });
    await warden.call('GET', `${S0}/execs/swap?wait_ms=20000`);
    assert.equal(await run('cat ~/keep/k'), 'k\n[0]');
  });

  test('a tree that is too deep is refused in a word, and the guest goes on', async () => {
    await run(`perl -e 'chdir $ENV{HOME}; mkdir "deep"; chdir "deep"; for (1..400) { mkdir "d"; chdir "d" }'`);
    assert.equal((await remove('deep', true)).code, 'too_deep');
    assert.equal(await run('rm -rf ~/deep; echo still'), 'still\n[0]');
  });

  test('a put that does not fit is refused before anything is made, with cap, asked and available', async () => {
    const headers = { 'x-bytes': String(40 * MIB) };
    const told = await warden.call('PUT', `${S0}/files?path=big/file`, Buffer.from('x'), headers);
    assert.deepEqual([told.status, told.json.code, told.json.asked_bytes], [422, 'quota_full', 40 * MIB]);
    assert.ok(told.json.cap_bytes >= 30 * MIB && told.json.cap_bytes <= 32 * MIB, String(told.json.cap_bytes));
    assert.ok(told.json.available_bytes <= told.json.cap_bytes);
    assert.equal((await stat('big')).code, 'no_such_file');
    const whole = await warden.call('PUT', `${S0}/files?path=big/file`, Buffer.alloc(40 * MIB));
    assert.equal(whole.json.code, 'quota_full');
    assert.equal((await warden.call('GET', `${S0}/files?path=big/file`)).json.code, 'no_such_file');
  });
});
