/**
 * A secret from a client's hands into a machine's memory: attested, sealed, used, and found nowhere else.
 * Promise: against a whole platform; every file below its folder is looked through, the database's own included.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ApiError, type Sandbox } from '@tallystick/sdk';
import { receiptsOf } from './harness/books.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';

const SMALL = { cpuMillis: 500, ramMib: 128, diskMib: 32 } as const;
const NOTHING_FOUND = 1;

/** In every spelling that programs write bytes in. */
const spellingsOf = (value: string): string[] =>
  (['utf8', 'base64', 'hex'] as const).map((encoding) => Buffer.from(value).toString(encoding));

/** Disks are mostly holes: packed without them, all bytes there are pass by once. What changes meanwhile is no fault. */
const LOOK_THROUGH = 'tar --sparse --create --file=- -- "$0" 2>/dev/null | grep --text --fixed-strings --quiet "$@"';

function assertInNoFile(folder: string, value: string): void {
  const patterns = spellingsOf(value).flatMap((text) => ['-e', text]);
  const { status, stderr } = spawnSync('sh', ['-c', LOOK_THROUGH, folder, ...patterns], { encoding: 'utf8' });
  assert.equal(status, NOTHING_FOUND, stderr || `the secret is in a file below ${folder}`);
}

async function boughtSandbox(platform: Platform): Promise<Sandbox> {
  const { tally } = await newcomer(platform.url, { depositMicros: 1_000_000n });
  const job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
  return job.sandboxes.create({ ...SMALL, quantumMs: 10_000n });
}

test('[I-30] a released secret reaches commands, and no output, no receipt and no file', async () => {
  await using platform = await startPlatform({ quantumMs: 10_000 });
  await using sandbox = await boughtSandbox(platform);
  const value = `tok-${randomBytes(20).toString('hex')}`;
  const isNotReleased = (fault: unknown) => fault instanceof ApiError && fault.code === 'secrets_not_released';
  await assert.rejects(sandbox.exec(['true'], { sensitive: true }), isNotReleased);
  const { warden_key: wardenKey, sandbox: name, isolation } = await sandbox.attest();
  assert.deepEqual([name, isolation], [sandbox.id, (await sandbox.refresh()).isolation]);
  const [released] = await sandbox.releaseSecrets({ TOKEN: value }, { wardenKey });
  const wants = { secrets: ['TOKEN'], sensitive: true };
  const length = await sandbox.exec(['sh', '-c', 'printf %s "$TOKEN" | wc -c; wc -c < /run/secrets/TOKEN'], wants);
  assert.equal(length.stdout, `${value.length}\n${value.length}\n`);
  const shown = await sandbox.exec(['sh', '-c', 'echo "$TOKEN"; echo "$TOKEN" | base64 -w0 >&2'], wants);
  assert.deepEqual([shown.stdout, shown.stderr.startsWith('[redacted]')], ['[redacted]\n', true]);
  const live: Buffer[] = [];
  const slowly = 'v=$TOKEN; while [ -n "$v" ]; do printf %.1s "$v"; v=${v#?}; sleep 0.01; done';
  await sandbox.exec(['sh', '-c', slowly], { ...wants, onOutput: ({ bytes }) => void live.push(Buffer.from(bytes)) });
  assert.equal(Buffer.concat(live).toString(), '[redacted]');
  const sent = (await receiptsOf(platform.folder, `sandbox:${sandbox.id}`)).map((one) => JSON.stringify(one));
  assert.ok(sent.some((text) => text.includes('SecretsSent') && text.includes(released!.commitment)));
  assertInNoFile(platform.folder, value);
});
