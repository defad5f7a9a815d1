/** Whatever stood in the environment of who starts a warden: neither the warden nor what it starts keeps a secret of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { wardenFor } from '../testing/warden-process.ts';

const environOf = (pid: number): string[] => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);

test('the database, keys and tokens of the starter are in no environment', async (context) => {
  const secrets = { DATABASE_URL: 'postgres://user:pass@host/db', TALLY_LEASE_KEY_FILE: '/x', SOME_TOKEN: 'token' };
  const before = { ...process.env };
  Object.assign(process.env, secrets);
  context.after(() => {
    for (const name of Object.keys(secrets)) delete process.env[name];
    Object.assign(process.env, before);
  });
  const warden = await wardenFor(context);
  const kept = environOf(warden.process.pid as number).map((pair) => pair.split('=')[0]);
  assert.ok(kept.includes('PATH'));
  for (const name of Object.keys(secrets)) assert.ok(!kept.includes(name), name);
  assert.deepEqual(environOf(warden.reaperPid), []);
});
