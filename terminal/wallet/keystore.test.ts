import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { signerOfPrivateKey } from '@tallystick/sdk';
import { PUBLISHED, PUBLISHED_KEY, PUBLISHED_PASSPHRASE } from '../testing/published-keystores.ts';
import { KeystoreError, openKey, readKeystore, sealKey } from './keystore.ts';
import { LooseFileError, readPrivateFile, writePrivateFile } from './private-files.ts';

const SCRYPT_N_FAST = 1024;
const key = Buffer.from(PUBLISHED_KEY, 'hex');
const { address } = signerOfPrivateKey(key);

for (const [kdf, file] of Object.entries(PUBLISHED))
  test(`the published ${kdf} keystore opens`, async () => {
    assert.equal((await openKey(file, PUBLISHED_PASSPHRASE)).toString('hex'), PUBLISHED_KEY);
  });

test('the published address belongs to the published key', () => {
  assert.equal(address.toLowerCase(), '0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b');
});

test('[I-30] a sealed key opens with its passphrase only, and stands nowhere in the file', async () => {
  const file = await sealKey(key, address, 'päss', SCRYPT_N_FAST);
  assert.ok(!JSON.stringify(file).includes(PUBLISHED_KEY));
  assert.deepEqual(await openKey(JSON.parse(JSON.stringify(file)), 'päss'), key);
  await assert.rejects(
    openKey(file, 'pass'),
    (fault) => fault instanceof KeystoreError && fault.code === 'passphrase_wrong',
  );
  const again = await sealKey(key, address, 'päss', SCRYPT_N_FAST);
  assert.notEqual(again.crypto.ciphertext, file.crypto.ciphertext);
});

test('a changed ciphertext is found', async () => {
  const file = await sealKey(key, address, 'p', SCRYPT_N_FAST);
  const first = file.crypto.ciphertext.startsWith('00') ? 'ff' : '00';
  const changed = { ...file, crypto: { ...file.crypto, ciphertext: first + file.crypto.ciphertext.slice(2) } };
  await assert.rejects(openKey(changed, 'p'), { code: 'passphrase_wrong' });
});

test('a keystore that asks for too much work or is none is refused before any work', () => {
  const { crypto } = PUBLISHED.scrypt;
  const withParams = (params: object) => ({
    version: 3,
    crypto: { ...crypto, kdfparams: { ...crypto.kdfparams, ...params } },
  });
  const rows: [unknown, RegExp][] = [
    [withParams({ n: 2 ** 40, r: 8 }), /the cap is/],
    [withParams({ n: 2 ** 20, r: 2 ** 10 }), /the cap is/],
    [withParams({ n: 1000 }), /power of two/],
    [withParams({ p: 1000 }), /the cap is/],
    [withParams({ n: 2 ** 23, r: 1, p: 16 }), /134217728 of work, the cap is 8388608/],
    [withParams({ n: 2 ** 20, r: 8, p: 2 }), /of work, the cap is/],
    [withParams({ dklen: 16 }), /dklen/],
    [withParams({ salt: 'xyz' }), /salt/],
    [{ version: 3, crypto: { ...crypto, kdf: 'argon2' } }, /neither/],
    [{ version: 3, crypto: { ...crypto, cipher: 'aes-256-cbc' } }, /cipher/],
    [{ version: 3, crypto: { ...crypto, mac: 'ab' } }, /mac/],
    [{ version: 1, crypto }, /version/],
    [[], /no object/],
    [null, /no object/],
  ];
  for (const [file, wanted] of rows)
    assert.throws(
      () => readKeystore(file),
      (fault) => fault instanceof KeystoreError && wanted.test(fault.message),
    );
});

test('[I-30] private files are 0600 in a 0700 folder; looser ones are refused, existing ones kept', async () => {
  const root = await mkdtemp(join(tmpdir(), 'tally-files-'));
  try {
    const path = join(root, 'home', 'secret.json');
    assert.equal(await readPrivateFile(path), undefined);
    await writePrivateFile(path, 'one', { isNew: true });
    const modes = await Promise.all([path, join(root, 'home')].map(async (place) => (await stat(place)).mode & 0o777));
    assert.deepEqual(modes, [0o600, 0o700]);
    await assert.rejects(writePrivateFile(path, 'two', { isNew: true }), { code: 'EEXIST' });
    assert.equal(await readPrivateFile(path), 'one');
    await writePrivateFile(path, 'two');
    assert.equal(await readFile(path, 'utf8'), 'two');
    assert.deepEqual(await readdir(join(root, 'home')), ['secret.json']);
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(path, mode);
      await assert.rejects(readPrivateFile(path), LooseFileError);
    }
    await chmod(path, 0o600);
    await chmod(join(root, 'home'), 0o755);
    await assert.rejects(writePrivateFile(path, 'three'), LooseFileError);
    await writePrivateFile(path, 'three', { isFolderShared: true });
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await chmod(join(root, 'home'), 0o757);
    await assert.rejects(writePrivateFile(path, 'four', { isFolderShared: true }), /can be written by others/);
    await chmod(join(root, 'home'), 0o1777);
    await writePrivateFile(path, 'four', { isFolderShared: true });
  } finally {
    await rm(root, { recursive: true });
  }
});
