/** Keys that come from other programs and go to them: what ethers writes we open, what we write ethers opens, and no key shows on the way. */
import assert from 'node:assert/strict';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'node:test';
import { Wallet as EthersWallet, encryptKeystoreJson } from 'ethers';
import { PUBLISHED, PUBLISHED_KEY } from '../testing/published-keystores.ts';
import { openTerminal, type Said, type TestTerminal } from '../testing/terminal.ts';
import { readKeystore, SCRYPT_N } from './keystore.ts';

const KEY = PUBLISHED_KEY;
const ADDRESS = '0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b';

const typed = (text: string): { stdin: Readable } => ({ stdin: Readable.from([Buffer.from(text)]) });

async function ok(said: Promise<Said>): Promise<Record<string, unknown>> {
  const { code, out, err } = await said;
  assert.equal(code, 0, err);
  return JSON.parse(out) as Record<string, unknown>;
}

async function place(terminal: TestTerminal, name: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(join(terminal.folder, name), text, { mode });
  await chmod(join(terminal.folder, name), mode);
}

const ethersFile = (passphrase: string): Promise<string> =>
  encryptKeystoreJson({ address: ADDRESS, privateKey: `0x${KEY}` }, passphrase, { scrypt: { N: 1024, r: 8, p: 1 } });

test('what ethers writes is imported, sealed anew, and opened by ethers again', async () => {
  await using terminal = await openTerminal();
  await place(terminal, 'ethers.json', await ethersFile('for tests'));
  const imported = await ok(terminal.run('wallet', 'import', 'ethers.json', '--json'));
  assert.deepEqual([imported['address'], imported['imported']], [ADDRESS, 'keystore']);
  const path = String(imported['wallet']);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const text = await readFile(path, 'utf8');
  const { crypto } = readKeystore(JSON.parse(text));
  assert.equal(crypto.kdf === 'scrypt' && crypto.kdfparams.n, SCRYPT_N, 'as much work as one of our own');
  const opened = await EthersWallet.fromEncryptedJson(text, 'for tests');
  assert.deepEqual([opened.privateKey, opened.address], [`0x${KEY}`, ADDRESS]);
});

test('a key comes in on standard input and a keystore goes out the same way', async () => {
  await using terminal = await openTerminal();
  const text = `0x${KEY.toUpperCase()}\r\n`;
  const imported = await ok(terminal.runWith(typed(text), 'wallet', 'import', '--json'));
  assert.deepEqual([imported['address'], imported['imported']], [ADDRESS, 'private_key']);
  const { out } = await terminal.run('wallet', 'export');
  await ok(terminal.runWith(typed(out), 'wallet', 'import', '-', '--wallet', 'again.json', '--json'));
  assert.equal((await terminal.run('wallet', 'export', '--raw', '--wallet', 'again.json')).out, `0x${KEY}\n`);
});

test('the published keystore with PBKDF2 is imported under a passphrase of its own', async () => {
  await using terminal = await openTerminal();
  await place(terminal, 'old', 'testpassword\n');
  await place(terminal, 'new', 'another one');
  await place(terminal, 'published.json', JSON.stringify(PUBLISHED.pbkdf2));
  const passphrases = ['--from-passphrase-file', 'old', '--passphrase-file', 'new'];
  const imported = await ok(terminal.run('wallet', 'import', 'published.json', ...passphrases, '--json'));
  assert.equal(imported['address'], ADDRESS);
  delete terminal.env['TALLY_PASSPHRASE'];
  terminal.env['TALLY_PASSPHRASE_FILE'] = 'new';
  assert.equal((await terminal.run('wallet', 'export', '--raw')).out, `0x${KEY}\n`);
});

test('an export into a file is private and replaces nothing', async () => {
  await using terminal = await openTerminal();
  await ok(terminal.run('wallet', 'new', '--json'));
  const told = await ok(terminal.run('wallet', 'export', '--out', 'backup.json', '--json'));
  const path = join(terminal.folder, 'backup.json');
  assert.deepEqual([told['out'], (await stat(path)).mode & 0o777], [path, 0o600]);
  assert.equal((await terminal.run('wallet', 'export', '--out', 'backup.json')).code, 2);
  assert.equal(await readFile(path, 'utf8'), await readFile(join(terminal.home, 'wallet.json'), 'utf8'));
  const raw = await terminal.run('wallet', 'export', '--raw', '--out', 'key');
  assert.doesNotMatch(raw.out + raw.err, /[0-9a-f]{64}/);
  assert.match(await readFile(join(terminal.folder, 'key'), 'utf8'), /^0x[0-9a-f]{64}\n$/);
});

const BEYOND = 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141';
const REFUSED: [string, string, string[], RegExp][] = [
  ['a key as an argument', '', [KEY], /given as an argument/],
  ['a key as an argument, with 0x', '', [`0x${KEY}`], /given as an argument/],
  ['half a key', KEY.slice(1), [], /neither a keystore nor a private key/],
  ['nothing', '', [], /neither a keystore nor a private key/],
  ['a key of zero', '0'.repeat(64), [], /no private key: out of range/],
  ['a key beyond the curve', BEYOND, [], /no private key: out of range/],
  ['half a JSON', '{"version":3', [], /not JSON/],
  ['another version', '{"version":1}', [], /version is not 3/],
  ['a keystore under another passphrase', JSON.stringify(PUBLISHED.pbkdf2), [], /passphrase_wrong/],
  ['a megabyte', 'a'.repeat(1 << 20), [], /cap is 65536 bytes/],
  ['a file that is not there', '', ['nowhere.json'], /does not exist/],
  ['a file that others can read', '', ['loose'], /can be read by others/],
  ['a key with a passphrase', KEY, ['--from-passphrase-file', 'loose'], /has no passphrase/],
];
for (const [what, stdin, args, wanted] of REFUSED)
  test(`[I-30] refused, and no wallet is made: ${what}`, async () => {
    await using terminal = await openTerminal();
    await place(terminal, 'loose', KEY, 0o640);
    const { code, out, err } = await terminal.runWith(typed(stdin), 'wallet', 'import', ...args);
    assert.deepEqual([code, out], [2, ''], err);
    assert.match(err, wanted);
    assert.doesNotMatch(err, new RegExp(KEY), 'the key was repeated');
    assert.equal((await terminal.run('wallet', 'address')).code, 2);
  });

test('a keystore that names another address is refused; one that stands there already is kept', async () => {
  await using terminal = await openTerminal();
  const file = JSON.parse(await ethersFile('for tests')) as Record<string, unknown>;
  const swapped = JSON.stringify({ ...file, address: '00'.repeat(20) });
  const refused = await terminal.runWith(typed(swapped), 'wallet', 'import');
  assert.match(refused.err, /names the address 0x0{40}/);
  const made = await ok(terminal.run('wallet', 'new', '--json'));
  const second = await terminal.runWith(typed(KEY), 'wallet', 'import');
  assert.match(second.err, /exists already/);
  assert.equal(
    (await ok(terminal.run('wallet', 'address', '--json')))['address'],
    String(made['address']).toLowerCase(),
  );
});
