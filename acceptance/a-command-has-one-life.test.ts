/**
 * What a caller can rely on about one command: its id is used once, and it has an end also when its machine refused it.
 * Promise: looks at the receipts past the api; a repeat with the same key is no second command.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ExecEndKind } from '@tallystick/proto';
import type { ApiError, Sandbox } from '@tallystick/sdk';
import { bookProblems, receiptsOf } from './harness/books.ts';
import { SMALL } from './harness/lease.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const ENDED_MS_MAX = 60_000;

const newExecId = (): string => `exec_${randomBytes(16).toString('hex')}`;

describe('a command has one life', () => {
  let platform: Platform;
  let sandbox: Sandbox;
  before(async () => {
    platform = await startPlatform({ quantumMs: 30_000 });
    const { tally } = await newcomer(platform.url, { depositMicros: 1_000_000n });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
    sandbox = await job.sandboxes.create(SMALL);
  });
  after(async () => {
    assert.deepEqual(await bookProblems(platform.folder), []);
    await platform[Symbol.asyncDispose]();
  });

  const said = async (type: string, execId: string) =>
    (await receiptsOf(platform.folder, `sandbox:${sandbox.id}`)).filter(
      ({ command }) => command.type === type && command.body['exec_id'] === execId,
    );

  test('[I-15] [I-16] an exec id that was used for a command starts no other, and the refusal names the first', async () => {
    const [execId, key] = [newExecId(), randomUUID()];
    const first = await sandbox.exec(['echo', 'one'], { execId, key });
    const again = await sandbox.exec(['echo', 'one'], { execId, key });
    assert.deepEqual([again.stdout, again.receiptId], ['one\n', first.receiptId], 'a repeat is the same command');
    await assert.rejects(sandbox.exec(['echo', 'two'], { execId }), (fault: ApiError) => {
      assert.deepEqual([fault.code, fault.problem['first_receipt']], ['already_exists', first.receiptId]);
      return true;
    });
    const accepted = (await said('StartExec', execId)).filter(({ decision }) => decision.rejection === null);
    assert.equal(accepted.length, 1, 'a second start is receipted');
  });

  test('[I-05] [I-18] a command that its machine refuses is over at once, by a receipt, and stays so', async () => {
    const [execId, key] = [newExecId(), randomUUID()];
    const ask = () => sandbox.exec(['printf', 'a\0b'], { execId, key });
    for (const cause of ['invalid', 'not_started'])
      await assert.rejects(ask(), (fault: ApiError) => {
        assert.deepEqual([fault.code, fault.problem['cause']], ['exec_refused', cause]);
        return true;
      });
    const ends = await said('FinishExec', execId);
    assert.deepEqual(
      ends.map(({ command, decision }) => [command.actor, command.body['end'], decision.rejection]),
      [['platform', 'not_started', null]],
    );
    assert.equal((await sandbox.exec(['echo', 'on'])).stdout, 'on\n');
  });

  test('[I-05] commands are still told after their machine died: how each ended, and which were lost with it', async () => {
    const [done, lost] = [newExecId(), newExecId()];
    assert.equal((await sandbox.exec(['sh', '-c', 'echo twelve; exit 12'], { execId: done })).exitCode, 12);
    const listening = new AbortController();
    const sleeping = sandbox.exec(['sleep', '1000'], { execId: lost, signal: listening.signal }).catch(() => undefined);
    await until('it sleeps', async () => (await sandbox.execs()).some(({ execId }) => execId === lost));
    listening.abort();
    await sleeping;
    const dead = platform.pid('warden');
    await platform.kill('warden');
    await platform.untilReady([dead]);
    await until('the sandbox has ended', async () => (await sandbox.refresh()).stoppedAt !== undefined, ENDED_MS_MAX);
    const told = new Map((await sandbox.execs()).map((exec) => [exec.execId, exec]));
    const [first, last] = [told.get(done)!, told.get(lost)!];
    assert.deepEqual([first.end, first.exitCode, first.stdoutBytes], [ExecEndKind.EXITED, 12, 7n]);
    assert.deepEqual([last.end, last.running, last.program], [ExecEndKind.SANDBOX_LOST, false, 'sleep']);
  });
});
