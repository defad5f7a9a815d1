/** The output log: what went in comes out by cursor, and the bound on disk holds. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { temporaryFolder } from '../testing/rig.ts';
import { EXEC_LOG_BYTES_MAX, ExecLog, SEGMENTS_MAX } from './exec-log.ts';
import { Execs } from './execs.ts';

const pieces = fc.array(fc.tuple(fc.constantFrom<1 | 2>(1, 2), fc.uint8Array({ minLength: 1, maxLength: 3_000 })), {
  maxLength: 30,
});

test('law: reading on from any cursor, in pages of any size, gives the same bytes of the same streams', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, fc.nat(5_000), fc.integer({ min: 1, max: 4_000 }), async (written, from, bytesMax) => {
      const folder = temporaryFolder();
      const log = new ExecLog(join(folder, 'log'));
      for (const [stream, bytes] of written) await log.append(stream, Buffer.from(bytes));
      const whole = written.flatMap(([stream, bytes]) => [...bytes].map((byte) => stream * 256 + byte));
      const read: number[] = [];
      for (let cursor = from; cursor < log.end; ) {
        const page = log.read(cursor, bytesMax);
        assert.equal(page.chunks[0]?.cursor, cursor);
        for (const { stream, bytes } of page.chunks) read.push(...[...bytes].map((byte) => stream * 256 + byte));
        cursor = page.nextCursor;
      }
      await log.close();
      rmSync(folder, { recursive: true });
      assert.deepEqual(read, whole.slice(from));
    }),
    { numRuns: 40 },
  );
});

test('past its bound the oldest bytes go, and the reader is told where it can go on', async () => {
  const folder = temporaryFolder();
  const log = new ExecLog(join(folder, 'log'));
  const piece = Buffer.alloc(256 * 1024, 'x');
  for (let written = 0; written < 2 * EXEC_LOG_BYTES_MAX; written += piece.length) await log.append(1, piece);
  const files = readdirSync(join(folder, 'log'));
  const bytesOnDisk = files.reduce((sum, name) => sum + statSync(join(folder, 'log', name)).size, 0);
  assert.equal(files.length, SEGMENTS_MAX);
  assert.ok(bytesOnDisk <= EXEC_LOG_BYTES_MAX + SEGMENTS_MAX * (piece.length + 5));
  const page = log.read(0, 1_000);
  assert.ok(page.firstCursor > 0);
  assert.equal(page.chunks[0]?.cursor, page.firstCursor);
  assert.equal(page.nextCursor, page.firstCursor + 1_000);
  await log.close();
  log.drop();
  assert.equal(log.end, 2 * EXEC_LOG_BYTES_MAX);
  assert.deepEqual(log.read(0, 10).chunks, []);
  rmSync(folder, { recursive: true });
});

test('a sandbox that is forgotten leaves no folder of its output', async () => {
  const folder = temporaryFolder();
  const directory = join(folder, 's0.1');
  const log = new ExecLog(join(directory, '0'));
  await log.append(1, Buffer.from('said'));
  await log.close();
  new Execs({ directory } as ConstructorParameters<typeof Execs>[0]).dropLogs();
  assert.deepEqual(readdirSync(folder), []);
  rmSync(folder, { recursive: true });
});
