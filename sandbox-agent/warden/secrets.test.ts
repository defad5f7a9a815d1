/** Attestation, secrets sealed to it, commands that need them, and values that reach neither output nor disk. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { sha256Hex } from '@tallystick/kernel';
import { type Attestation, MASK, sealSecret, verifyAttestation } from '@tallystick/kernel/sealing';
import { temporaryFolder, ticketOf } from '../testing/rig.ts';
import { type Answer, spawnWarden, type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import { packageLines } from './image-digest.ts';

const S0 = '/v1/sandboxes/s0';
const NONCE = 'ab'.repeat(16);
const VALUE = `tok-${randomBytes(18).toString('hex')}`;

describe('secrets of a sandbox', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Parameters<typeof wardenFor>[0]);
    const made = await warden.create(300_000);
    assert.equal(made.status, 200, made.bytes.toString());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  async function attested(sandbox = 's0'): Promise<Attestation> {
    const { json } = await warden.call('GET', `/v1/sandboxes/${sandbox}/attestation?nonce=${NONCE}`);
    const told = verifyAttestation(json.envelope, { nonce: NONCE, sandbox, wardenKey: warden.ready.public_key });
    assert.ok(!('error' in told), JSON.stringify(told));
    assert.equal(told.policy_hash, sha256Hex(Buffer.from(json.policy)));
    return told;
  }
  const sealedTo = (told: Attestation, name: string, value: string | Buffer, place = {}) => {
    const seeds = { seed: randomBytes(32), salt: randomBytes(32) };
    const where = { sandbox: told.sandbox, incarnation: told.incarnation, name, ...place };
    const key = Buffer.from(told.sealing_key, 'base64');
    const { sealed, commitment } = sealSecret(key, where, Buffer.from(value), seeds);
    return { name, sealed_base64: sealed.toString('base64'), commitment };
  };
  const release = (told: Attestation, secrets: object[], changes = {}): Promise<Answer> =>
    warden.call('POST', `/v1/sandboxes/${told.sandbox}/secrets`, {
      incarnation: told.incarnation,
      sealing_key: told.sealing_key,
      secrets,
      ...changes,
    });
  let execs = 0;
  const start = (line: string, more: object = {}) =>
    warden.call('POST', `${S0}/execs`, { exec_id: `e${++execs}`, argv: ['sh', '-c', line], ...more });
  const run = async (line: string, more: object = {}): Promise<string> => {
    const started = await start(line, more);
    assert.equal(started.status, 200, started.bytes.toString());
    const id = started.json.exec_id;
    await warden.call('GET', `${S0}/execs/${id}?wait_ms=20000`);
    const { json } = await warden.call('GET', `${S0}/execs/${id}/output`);
    const pieces = json.chunks.map((chunk: { bytes_base64: string }) => Buffer.from(chunk.bytes_base64, 'base64'));
    return Buffer.concat(pieces).toString();
  };

  test('the plain form, and a signed one that is bound to nonce, boot, life and image', async () => {
    const { json } = await warden.call('GET', `${S0}/attestation`);
    assert.deepEqual(json, { mode: 'standard', image_version: 'sandbox-base:v1.0.0', measurement: null });
    const told = await attested();
    assert.deepEqual([told.boot_id, told.incarnation, told.isolation], [warden.ready.boot_id, 1, 'ns']);
    assert.deepEqual(await attested(), told);
    const bad = await warden.call('GET', `${S0}/attestation?nonce=xyz`);
    assert.deepEqual([bad.status, bad.json.code], [400, 'invalid']);
  });

  test('a sensitive command waits for its secrets, then has them by name and as files', async () => {
    for (const more of [{ sensitive: true }, { secrets: ['TOKEN'] }]) {
      const refused = await start('true', more);
      assert.deepEqual([refused.status, refused.json.code], [422, 'secrets_not_released']);
    }
    const told = await attested();
    const binary = Buffer.concat([Buffer.from([0, 255]), randomBytes(20)]);
    const secrets = [sealedTo(told, 'TOKEN', VALUE), sealedTo(told, 'BLOB', binary)];
    const answer = await release(told, secrets);
    assert.equal(answer.status, 200, answer.bytes.toString());
    const names = answer.json.secrets.map((one: { name: string; commitment: string }) => [one.name, one.commitment]);
    assert.deepEqual(
      names,
      secrets.map(({ name, commitment }) => [name, commitment]),
    );
    assert.deepEqual((await warden.call('GET', `${S0}/secrets`)).json, answer.json);
    const digest = sha256Hex(Buffer.from(VALUE));
    assert.equal(
      await run('printf %s "$TOKEN" | sha256sum', { secrets: ['TOKEN'], sensitive: true }),
      `${digest}  -\n`,
    );
    assert.equal(await run('printf %s "$TOKEN"', { sensitive: true }), '', 'only those that are named');
    const files = await run('cd /run/secrets; stat -c "%a %n" . *; sha256sum TOKEN BLOB; findmnt -no FSTYPE .');
    const sums = [Buffer.from(VALUE), binary].map((bytes) => createHash('sha256').update(bytes).digest('hex'));
    assert.equal(files, `700 .\n400 BLOB\n400 TOKEN\n${sums[0]}  TOKEN\n${sums[1]}  BLOB\ntmpfs\n`);
    assert.equal((await start('true', { secrets: ['BLOB'] })).json.code, 'secret_not_text');
    assert.equal((await start('true', { secrets: ['TOKEN', 'MORE'] })).json.missing, 'MORE');
  });

  test('[I-30] what is released shows in no output, however it is printed', async () => {
    const more = { secrets: ['TOKEN'] };
    assert.equal(
      await run('echo "a $TOKEN b"; echo "c $TOKEN" >&2', more).then((text) => text.length),
      2 * MASK.length + 8,
    );
    const slowly = 'v=$TOKEN; while [ -n "$v" ]; do printf %.1s "$v"; v=${v#?}; done; echo; sleep 0.1';
    assert.equal(await run(slowly, more), `${MASK}\n`);
    assert.equal(
      await run('printf "user:%s" "$TOKEN" | base64 -w0 | tail -c 20 >/dev/null; cat /run/secrets/TOKEN', {}),
      `${MASK}`,
    );
    const basic = await run('printf "user:%s" "$TOKEN" | base64 -w0', more);
    assert.ok(basic.includes(`${MASK}`) && basic.length < 30, basic);
    assert.equal(await run('echo nothing of it', more), 'nothing of it\n');
  });

  test('other words, another life, another key or too many are refused, and nothing of them is kept', async () => {
    const told = await attested();
    const secret = sealedTo(told, 'OTHER', 'another value');
    const rows: [string, object[], object][] = [
      ['secret_not_opened', [sealedTo(told, 'OTHER', 'another value', { sandbox: 's1' })], {}],
      ['secret_not_opened', [sealedTo(told, 'OTHER', 'another value', { incarnation: 2 })], {}],
      ['secret_not_opened', [{ ...secret, name: 'RENAMED' }], {}],
      ['secret_not_opened', [{ ...secret, commitment: 'c'.repeat(64) }], {}],
      ['other_incarnation', [secret], { incarnation: 2 }],
      ['other_sealing_key', [secret], { sealing_key: Buffer.alloc(32, 3).toString('base64') }],
      ['invalid', [{ ...secret, name: '../x' }], {}],
      ['invalid', [{ ...secret, more: 1 }], {}],
      ['invalid', ['x' as unknown as object], {}],
      ['invalid', [], {}],
      ['too_many_secrets', [1, 2, 3, 4, 5].map((n) => sealedTo(told, `N${n}`, `${n}`.repeat(16_000))), {}],
    ];
    for (const [code, secrets, changes] of rows) {
      const { json } = await release(told, secrets, changes);
      assert.equal(json.code, code, JSON.stringify(json));
    }
    const { json } = await warden.call('GET', `${S0}/secrets`);
    assert.deepEqual(
      json.secrets.map(({ name }: { name: string }) => name),
      ['TOKEN', 'BLOB'],
    );
  });

  test('a newer value replaces an older one, and the older message cannot bring it back', async () => {
    const told = await attested();
    const older = sealedTo(told, 'ROTATED', 'older value 1');
    await release(told, [older]);
    await release(told, [sealedTo(told, 'ROTATED', 'newer value 2')]);
    const again = await release(told, [older]);
    assert.equal(again.status, 200);
    assert.equal(await run('[ "$ROTATED" = "newer value 2" ] && echo newer', { secrets: ['ROTATED'] }), 'newer\n');
    assert.equal(await run('printf "older value %s" 1'), `${MASK}`);
  });

  test('[I-30] no file of the warden, no event and no view holds a value, in clear or in base64', async () => {
    await run('echo "$TOKEN"; env', { secrets: ['TOKEN'] });
    for (const text of [VALUE, Buffer.from(VALUE).toString('base64'), Buffer.from(VALUE).toString('hex')]) {
      const grep = () => execFileSync('grep', ['-rlaF', text, warden.folder], { encoding: 'utf8' });
      assert.throws(grep, (fault: { status?: number }) => fault.status === 1, 'grep must find nothing');
      for (const path of ['/v1/events', S0, `${S0}/execs`, `${S0}/secrets`])
        assert.ok(!(await warden.call('GET', path)).bytes.includes(text), path);
    }
  });

  test('another life of the sandbox has none of them', async () => {
    await warden.call('POST', `${S0}/finish`, { incarnation: 1, reason: 'stopped_by_owner' });
    assert.deepEqual((await warden.call('GET', `${S0}/secrets`)).json, { secrets: [] });
    assert.equal((await warden.call('GET', `${S0}/attestation?nonce=${NONCE}`)).json.code, 'sandbox_ended');
    const made = await warden.create(60_000, { incarnation: 2 }, ticketOf(60_000, { incarnation: 2 }));
    assert.equal(made.status, 200);
    assert.equal((await start('true', { secrets: ['TOKEN'] })).json.code, 'secrets_not_released');
    assert.equal(await run('ls -A /run/secrets'), '');
  });
});

test('a pinned image digest is held against the machine', async () => {
  const folder = temporaryFolder();
  const refused = spawnWarden(folder, ['--image-digest', 'e'.repeat(64)]);
  let complaint = '';
  for await (const bytes of refused.stderr as AsyncIterable<Buffer>) complaint += bytes;
  const { code, asked, found } = JSON.parse(complaint.trim().split('\n').at(-1) as string);
  assert.deepEqual([code, asked], ['image_digest_mismatch', 'e'.repeat(64)]);
  assert.match(found, /^[0-9a-f]{64}$/);
  execFileSync('rm', ['-rf', folder]);
});

test('the package list counts what is installed', () => {
  const one = 'Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0';
  const gone = 'Package: b\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 2.0';
  assert.deepEqual(packageLines(`${gone}\n\n${one}\n`), ['a 1.0 amd64']);
});
