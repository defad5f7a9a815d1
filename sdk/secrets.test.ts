/** Attestation and sealed secrets, from the client's side. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, connect, type Sandbox, type Tally } from './index.ts';
import { type FakePlatform, startFakePlatform } from './testing/fake-platform.ts';

async function scene(fake: FakePlatform, fetch?: typeof globalThis.fetch): Promise<{ tally: Tally; sandbox: Sandbox }> {
  const tally = connect({ baseUrl: fake.url, apiKey: fake.addKey(), ...(fetch ? { fetch } : {}) });
  const job = await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n });
  return { tally, sandbox: await job.sandboxes.create() };
}

const isRefused = (cause: RegExp) => (fault: unknown) => {
  assert.ok(fault instanceof ApiError, String(fault));
  assert.equal(fault.code, 'attestation_refused');
  assert.match(String(fault.problem['cause']), cause);
  return true;
};

test('a value is sealed to the attested machine, and no request holds it', async () => {
  await using fake = await startFakePlatform();
  const sent: string[] = [];
  const watched: typeof fetch = async (input, init) => {
    sent.push(String(input), Buffer.from((init?.body as Uint8Array | string | undefined) ?? '').toString('latin1'));
    return fetch(input, init);
  };
  const { sandbox } = await scene(fake, watched);
  const { wardenKey } = fake.secrets;
  const told = await sandbox.attest({ wardenKey });
  assert.deepEqual([told.sandbox, told.warden_key, told.mode], [sandbox.id, wardenKey, 'standard']);
  const value = 'correct-horse-battery';
  const secrets = await sandbox.releaseSecrets({ TOKEN: value }, { wardenKey });
  assert.deepEqual(
    secrets.map(({ name }) => name),
    ['TOKEN'],
  );
  assert.equal(fake.secrets.values.get(`${sandbox.id} TOKEN`), value);
  assert.deepEqual(await sandbox.secrets(), secrets);
  const said = sent.join('\n');
  for (const text of [value, Buffer.from(value).toString('base64')]) assert.ok(!said.includes(text));
  const { stdout } = await sandbox.exec(['env'], { secrets: ['TOKEN'] });
  assert.equal(stdout, `TOKEN=${value}\n`);
});

test('nothing is released to a machine whose statement does not hold', async () => {
  await using fake = await startFakePlatform();
  const change: { body: (text: string) => string } = { body: (text) => text };
  const twisted: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (!String(input).includes('/attestation')) return answer;
    return new Response(change.body(await answer.text()), { status: answer.status, headers: answer.headers });
  };
  const { sandbox } = await scene(fake, twisted);
  const release = () => sandbox.releaseSecrets({ TOKEN: 'correct-horse-battery' });
  const other = sandbox.releaseSecrets({ TOKEN: 'correct-horse-battery' }, { wardenKey: `${'A'.repeat(43)}=` });
  await assert.rejects(other, isRefused(/not signed by the key/));
  let old = '';
  const rows: [RegExp, (text: string) => string][] = [
    [/not signed by the key/, (text) => text.replace(/(payload\\":\\"[A-Za-z0-9+/]{40})[A-Za-z0-9+/]/, '$1A')],
    [/policy is not the one/, (text) => text.replace('fake\\"}', 'open\\"}')],
    [/no statement/, (text) => JSON.stringify({ ...JSON.parse(text), envelope: null })],
    [/another nonce/, (text) => (old ||= text)],
  ];
  await sandbox.attest();
  for (const [cause, body] of rows) {
    change.body = body;
    if (String(cause).includes('nonce')) await sandbox.attest();
    await assert.rejects(release(), isRefused(cause));
  }
  assert.equal(fake.secrets.values.size, 0);
});

test('a command that needs what was not released is refused, and bad values are not sealed', async () => {
  await using fake = await startFakePlatform();
  const { sandbox } = await scene(fake);
  await assert.rejects(sandbox.exec(['env'], { secrets: ['MORE'] }), { code: 'secrets_not_released' });
  await assert.rejects(sandbox.releaseSecrets({ 'NOT-A-NAME': 'correct-horse' }), TypeError);
  await assert.rejects(sandbox.releaseSecrets({ TOKEN: 'short' }), TypeError);
});
