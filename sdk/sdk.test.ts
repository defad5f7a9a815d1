import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Header } from 'tar';
import { climbs, unpackInto } from './files.ts';
import {
  ApiError,
  connect,
  JobSchema,
  LiveProblem,
  login,
  plain,
  type Retry,
  SandboxSchema,
  SandboxStatus,
  signerOfPrivateKey,
  type Tally,
  UnreachableError,
} from './index.ts';
import { outputKeeper } from './output.ts';
import type { ReadOptions } from './paths.ts';
import { type FakePlatform, startFakePlatform } from './testing/fake-platform.ts';

const PRIVATE_KEY = Buffer.alloc(32, 7);
const signer = signerOfPrivateKey(PRIVATE_KEY);

async function loggedIn(fake: FakePlatform, more: { onRetry?: (retry: Retry) => void } = {}): Promise<Tally> {
  const { secret } = await login({ baseUrl: fake.url, signer });
  return connect({ baseUrl: fake.url, apiKey: secret, ...more });
}

/** Where a platform was a moment ago. */
async function deadUrl(): Promise<string> {
  await using fake = await startFakePlatform();
  return fake.url;
}

const openSandbox = async (tally: Tally) =>
  (await tally.jobs.create({ maxTotalSpendMicros: 1_000_000n })).sandboxes.create();

test('a wallet logs in by signing what the platform named, and the key works', async () => {
  await using fake = await startFakePlatform();
  const key = await login({ baseUrl: fake.url, signer, scopes: ['billing:read'], label: 'mine' });
  assert.equal(key.principal, `eip155:8453:${signer.address.toLowerCase()}`);
  assert.equal(key.label, 'mine');
  const tally = connect({ baseUrl: fake.url, apiKey: key.secret });
  assert.equal((await tally.balance()).principal, key.principal);
  await assert.rejects(
    tally.jobs.create({ maxTotalSpendMicros: 1n }),
    (fault) => fault instanceof ApiError && fault.code === 'scope_missing' && fault.status === 403,
  );
});

const FOREIGN: [what: string, domain: string | undefined, says: RegExp][] = [
  ['of another domain', 'bank.example', /asks to sign for bank.example/],
  ['of what is no platform', undefined, /answers as no platform does/],
];
for (const [what, domain, says] of FOREIGN)
  test(`[I-29] a challenge ${what} is not signed`, async () => {
    await using fake = await startFakePlatform();
    const relay: typeof fetch = async (input, init) => {
      const answer = await fetch(input, init);
      return Response.json({ ...((await answer.json()) as object), domain });
    };
    let isSigned = false;
    const watched = {
      address: signer.address,
      signPersonal: (message: string) => {
        isSigned = true;
        return signer.signPersonal(message);
      },
    };
    await assert.rejects(
      login({ baseUrl: fake.url, signer: watched, fetch: relay }),
      (fault) => fault instanceof ApiError && fault.code === 'login_domain_refused' && says.test(fault.message),
    );
    assert.equal(isSigned, false);
  });

test('a command that is repeated under its key is the same command: its id follows from the key', async () => {
  await using fake = await startFakePlatform();
  const job = await (await loggedIn(fake)).jobs.create({ maxTotalSpendMicros: 9_000_000n });
  const sandbox = await job.sandboxes.create();
  const idOf = async (options: { key?: string; execId?: string }) =>
    (await sandbox.exec(['echo', 'x'], options)).execId;
  const [first, again, other] = [await idOf({ key: 'k' }), await idOf({ key: 'k' }), await idOf({ key: 'l' })];
  assert.match(first, /^exec_[0-9a-f]{32}$/);
  assert.deepEqual([first === again, first === other], [true, false]);
  assert.equal(new Set([await idOf({}), await idOf({}), first]).size, 3);
  const own = `exec_${'a'.repeat(32)}`;
  assert.equal(await idOf({ key: 'm', execId: own }), own);
  assert.equal((await sandbox.execStream(['echo', 'x'], { key: 'k' })).execId, first);
});

test('a job and its sandbox live, and await using destroys the sandbox', async () => {
  await using fake = await startFakePlatform();
  const tally = await loggedIn(fake);
  const job = await tally.jobs.create({ maxTotalSpendMicros: 9_000_000n, label: 'audit' });
  assert.deepEqual(plain(JobSchema, job.state)['clamps'], [
    { field: 'max_total_spend_micros', requested: 9_000_000, effective: 5_000_000, rule: 'user_policy' },
  ]);
  let id = '';
  {
    await using sandbox = await job.sandboxes.create({ label: 'one' });
    id = sandbox.id;
    await sandbox.touch({ reason: 'thinking' });
    assert.equal((await sandbox.extend({ addSpendMicros: 5n })).maxSpendMicros, 5_000_005n);
  }
  assert.equal((await tally.sandboxes.get(id)).state?.status, SandboxStatus.ENDED);
  {
    await using gone = tally.sandboxes.attach(id);
    assert.equal(gone.state, undefined);
  }
  await tally.jobs.create({ maxTotalSpendMicros: 1n });
  await assert.rejects((await tally.jobs.create({ maxTotalSpendMicros: 1n })).sandboxes.create(), {
    code: 'job_cap_exceeded',
    status: 422,
  });
  assert.equal((await Array.fromAsync(tally.jobs.list())).length, 3);
  assert.equal((await job.stop()).stopReason, 'stopped_by_owner');
});

test('[I-15] a platform that is busy is asked again with the same key, and nothing happens twice', async () => {
  await using fake = await startFakePlatform();
  const retries: Retry[] = [];
  const tally = await loggedIn(fake, { onRetry: (retry) => retries.push(retry) });
  fake.unavailable = 2;
  await tally.depositDevelopment(5n, { key: 'mine' });
  assert.equal(retries.length, 2);
  assert.deepEqual(fake.changes, ['mine deposit']);
});

test('a platform that is not there is told as unreachable, without the key', async () => {
  const tally = connect({ baseUrl: await deadUrl(), apiKey: 'tly_secret', attemptsMax: 2 });
  await assert.rejects(
    tally.balance(),
    (fault) =>
      fault instanceof UnreachableError && !JSON.stringify([fault.message, String(fault.stack)]).includes('tly_secret'),
  );
});

test('a command runs to its end: output, exit code, environment, standard input', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await openSandbox(await loggedIn(fake));
  const echoed = await sandbox.exec(['echo', 'hello']);
  assert.deepEqual(
    [echoed.stdout, echoed.end, echoed.exitCode, echoed.receiptId],
    ['hello\n', 'exited', 0, `rcp_${'3'.padStart(32, '0')}`],
  );
  const failed = await sandbox.exec(['exit', '7']);
  assert.deepEqual([failed.stderr, failed.exitCode], ['oh no\n', 7]);
  assert.equal((await sandbox.exec(['cat'], { stdin: 'ïn' })).stdout, 'ïn');
  assert.equal((await sandbox.exec(['env'], { env: { A: 'b' } })).stdout, 'A=b\n');
  assert.equal((await sandbox.exec(['lease'])).end, 'lease_ended');
});

test('a start that is repeated under its exec id runs once', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await openSandbox(await loggedIn(fake));
  const execId = `exec_${'a'.repeat(32)}`;
  for (const _ of [1, 2]) await sandbox.exec(['echo', 'x'], { execId });
  assert.equal(fake.changes.filter((change) => change.endsWith('exec echo x')).length, 1);
});

test('a program that does not exist is a result of its own', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await openSandbox(await loggedIn(fake));
  for (const options of [{}, { onOutput: () => undefined }]) {
    const { end, startError } = await sandbox.exec(['nothing'], options);
    assert.deepEqual([end, startError], ['not_started', 'ENOENT']);
  }
});

test('[I-27] live output has no gap and no duplicate across cut connections', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await openSandbox(await loggedIn(fake));
  const run = await sandbox.execStream(['ticker']);
  const exec = fake.execs.get(run.execId)!;
  const seen: string[] = [];
  exec.print('0 ');
  for await (const { bytes, stream } of run) {
    assert.equal(stream, 'stdout');
    for (const word of Buffer.from(bytes).toString().trim().split(' ')) seen.push(word);
    if (seen.length % 3 === 0) fake.cutLive();
    if (seen.length < 10) exec.print(`${seen.length} `);
    else exec.finish('exited', { exitCode: 3 });
  }
  assert.deepEqual(seen, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  assert.deepEqual(await run.outcome, { end: 'exited', exitCode: 3 });
});

test('a running command can be attached to from a cursor, signalled, and left', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await openSandbox(await loggedIn(fake));
  const run = await sandbox.execStream(['ticker']);
  const exec = fake.execs.get(run.execId)!;
  exec.print('one');
  exec.print('two');
  const [first] = await take(run, 1);
  const again = sandbox.attach(run.execId, first!.cursor);
  await sandbox.signal(run.execId, 'SIGTERM');
  assert.equal(Buffer.concat((await Array.fromAsync(again)).map(({ bytes }) => bytes)).toString(), 'two');
  assert.equal((await again.outcome).end, 'killed');
  await assert.rejects(run.outcome, /was not read to its end/);
});

test('who wants to know the end alone need not read', async () => {
  await using fake = await startFakePlatform();
  const sandbox = await openSandbox(await loggedIn(fake));
  const run = await sandbox.execStream(['ticker']);
  const ended = run.outcome;
  const exec = fake.execs.get(run.execId)!;
  exec.print('nobody looks');
  exec.finish('exited', { exitCode: 4 });
  assert.deepEqual([await ended, await run.outcome], Array(2).fill({ end: 'exited', exitCode: 4 }));
});

async function take<T>(source: AsyncIterable<T>, max: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of source) {
    taken.push(item);
    if (taken.length === max) break;
  }
  return taken;
}

test('a topic that is not there is a live problem', async () => {
  await using fake = await startFakePlatform();
  const tally = await loggedIn(fake);
  await assert.rejects(take(tally.live.follow('job/none'), 1), LiveProblem);
});

test('a live platform that stays away is told as unreachable', async () => {
  const tally = connect({ baseUrl: await deadUrl(), apiKey: 'k' });
  await assert.rejects(take(tally.live.follow('account', { lostMsMax: 50 }), 1), UnreachableError);
});

test('files and folders go up and come down; an export arrives whole', async () => {
  await using fake = await startFakePlatform();
  const tally = await loggedIn(fake);
  const sandbox = await openSandbox(tally);
  const root = await mkdtemp(join(tmpdir(), 'tally-sdk-'));
  try {
    await mkdir(join(root, 'in', 'deep'), { recursive: true });
    await writeFile(join(root, 'in', 'deep', 'a.txt'), 'alpha');
    await symlink('a.txt', join(root, 'in', 'deep', 'link'));
    assert.equal((await sandbox.upload('b.txt', { file: join(root, 'in', 'deep', 'a.txt') })).bytes, 5n);
    assert.equal(Buffer.concat(await Array.fromAsync(sandbox.download('b.txt'))).toString(), 'alpha');
    let passed = 0;
    const sent = await sandbox.uploadTree(join(root, 'in'), 'tree', { onProgress: ({ bytes }) => (passed = bytes) });
    assert.ok(sent.bytes > 1_000n, 'the tar stream');
    assert.deepEqual([sent.content, passed], [{ bytes: 5, files: 1 }, 5]);
    assert.deepEqual(await sandbox.downloadTree('tree', join(root, 'out')), { bytes: 5, files: 1 });
    assert.equal(await readFile(join(root, 'out', 'deep', 'a.txt'), 'utf8'), 'alpha');
    assert.equal(await readlink(join(root, 'out', 'deep', 'link')), 'a.txt');
    const { bytes } = await tally.receipts.export(join(root, 'all.jsonl'));
    assert.equal((await readFile(join(root, 'all.jsonl'))).length, bytes);
    await assert.rejects(sandbox.downloadTree('nothing', join(root, 'none')), { code: 'file_not_found' });
  } finally {
    await rm(root, { recursive: true });
  }
});

test('files are looked at, read in part, made, moved and removed by their paths', async () => {
  await using fake = await startFakePlatform();
  const { files } = await openSandbox(await loggedIn(fake));
  await files.write('a.txt', 'alphabet');
  const { type, bytes, sha256 } = await files.stat('a.txt', { digest: true });
  assert.deepEqual([type, bytes, sha256.length], ['file', 8n, 64]);
  const part = async (options: ReadOptions) => Buffer.concat(await Array.fromAsync(files.read('a.txt', options)));
  assert.equal((await part({ offset: 2, length: 3n })).toString(), 'pha');
  assert.equal((await part({ offset: 5n })).toString(), 'bet');
  assert.equal((await files.mkdir('made', { parents: true, key: 'mk-1' })).entries, 1n);
  await assert.rejects(files.mkdir('made'), { code: 'file_exists' });
  assert.equal((await files.move('a.txt', 'made/b.txt')).target, 'made/b.txt');
  await assert.rejects(files.stat('a.txt'), { code: 'file_not_found' });
  await assert.rejects(files.remove('made'), { code: 'directory_not_empty' });
  assert.equal((await files.remove('made', { recursive: true })).entries, 2n);
  assert.deepEqual(fake.changes.slice(-3), [
    'mk-1 makeDirectory made',
    ...fake.changes.slice(-2).filter((change) => / (movePath a.txt made\/b.txt|removePath made)$/.test(change)),
  ]);
});

test('a hostile folder writes nothing outside and leaves no way out', async () => {
  const root = await mkdtemp(join(tmpdir(), 'tally-sdk-'));
  try {
    const entry = (path: string, type: 'File' | 'SymbolicLink' | 'Link' | 'CharacterDevice', linkpath = '') => {
      const header = new Header({ path, type, linkpath, size: 0, mode: 0o644, mtime: new Date(0) });
      header.encode();
      return header.block!;
    };
    const hostile = [
      entry('ok/', 'File'),
      entry('a/out', 'SymbolicLink', '../../etc'),
      entry('abs', 'SymbolicLink', '/etc'),
      entry('hard', 'Link', '/etc/passwd'),
      entry('null', 'CharacterDevice'),
      entry('in', 'SymbolicLink', 'a'),
      entry('fine', 'File'),
    ];
    await unpackInto(
      root,
      (async function* () {
        yield Buffer.concat([...hostile, Buffer.alloc(1024)]);
      })(),
    );
    assert.deepEqual(
      (await readdir(root)).sort().filter((name) => name !== 'ok'),
      ['fine', 'in'],
    );
    const above = [entry('../above', 'File'), Buffer.alloc(1024)];
    await assert.rejects(
      unpackInto(
        root,
        (async function* () {
          yield Buffer.concat(above);
        })(),
      ),
    );
    await assert.rejects(
      unpackInto(
        root,
        (async function* () {
          yield Buffer.alloc(512, 1);
        })(),
      ),
    );
  } finally {
    await rm(root, { recursive: true });
  }
});

test('a link may climb to the folder and no further', () => {
  const rows: [string, number, boolean][] = [
    ['a', 0, false],
    ['../a', 1, false],
    ['../a', 0, true],
    ['../..', 1, true],
    ['a/../b', 3, true],
    ['/a', 9, true],
    ['./a', 0, false],
    ['..', 1, false],
  ];
  for (const [target, depth, wanted] of rows) assert.equal(climbs(target, depth), wanted, `${target} at ${depth}`);
});

test('kept output is bounded and says so', () => {
  const kept = outputKeeper(4);
  kept.keep({ stream: 'stdout', bytes: Buffer.from('abc'), cursor: 1n });
  assert.equal(kept.truncated, false);
  kept.keep({ stream: 'stdout', bytes: Buffer.from('def'), cursor: 2n });
  assert.deepEqual([kept.text('stdout'), kept.text('stderr'), kept.truncated], ['abcd', '', true]);
});

test('[I-30] plain values are spelled as REST answers are, and hold no secret', async () => {
  await using fake = await startFakePlatform();
  const tally = await loggedIn(fake);
  const sandbox = await openSandbox(tally);
  const answer = await fetch(`${fake.url}/v1/sandboxes/${sandbox.id}`, {
    headers: { authorization: `Bearer ${[...fake.keys.values()][0]!.secret}` },
  });
  assert.deepEqual(plain(SandboxSchema, await sandbox.refresh()), await answer.json());
  const key = await login({ baseUrl: fake.url, signer });
  const { ApiKeySchema } = await import('./index.ts');
  assert.ok(!JSON.stringify(plain(ApiKeySchema, key)).includes(key.secret));
});
