/** The outbox: at least once, in order per sandbox, settled only under the current lease, quick after a commit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256Hex } from '@tallystick/kernel';
import type { Engine } from './commit/engine.ts';
import { type Delivery, type Handler, type OutboxOptions, runOutbox } from './outbox.ts';
import { readReceiptAt, waitingWork } from './read.ts';
import { fund, newTestEngine, sale } from './testing.ts';

const WAKE_MS_MAX = 200;

/** Runs the outbox until `count` messages were delivered, then ends it. */
async function deliver(
  engine: Engine,
  count: number,
  handler: Handler,
  options: Partial<OutboxOptions> = {},
): Promise<Delivery[]> {
  const stop = new AbortController();
  const delivered: Delivery[] = [];
  const enough = Promise.withResolvers<void>();
  const running = runOutbox(
    engine,
    {
      'run-ticket': async (message) => {
        await handler(message);
        delivered.push(message);
        if (delivered.length >= count) enough.resolve();
      },
    },
    { everyMs: 20, ...options, signal: stop.signal },
  );
  await enough.promise;
  stop.abort();
  await running;
  return delivered;
}

test('messages name their receipt, and are delivered once when all goes well', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  const outcomes = await Promise.all(Array.from({ length: 30 }, (_, i) => engine.execute(sale(`k${i}`, i))));
  const delivered = await deliver(engine, 30, async () => undefined);
  assert.deepEqual(delivered.map((message) => message.id).sort(), outcomes.map((outcome) => `${outcome.pos}.0`).sort());
  const [first] = delivered;
  const stored = await readReceiptAt(engine, first!.receipt.pos);
  assert.equal(first!.receipt.hash, sha256Hex(stored!.bytes));
  assert.equal(first!.receipt.id, outcomes.find((outcome) => outcome.pos === first!.receipt.pos)?.receiptId);
  assert.deepEqual(await waitingWork(engine).then((work) => work.outboxMessages), 0);
});

test('those of one sandbox go in order, past failures; other sandboxes do not wait', async () => {
  await using engine = await newTestEngine();
  await fund(engine);
  for (let minute = 0; minute < 4; minute++)
    await Promise.all([engine.execute(sale(`a${minute}`, 'a')), engine.execute(sale(`b${minute}`, 'b'))]);
  let failures = 0;
  const errors: unknown[] = [];
  const delivered = await deliver(
    engine,
    8,
    async (message) => {
      if (message.body['sandbox'] === 'lease:a' && message.attempt <= 2) {
        failures++;
        throw new Error(`refused ${message.id}`);
      }
    },
    { backoffFirstMs: 30, onError: (error) => errors.push(error) },
  );
  const minutesOf = (sandbox: string) =>
    delivered.filter((m) => m.body['sandbox'] === sandbox).map((m) => m.body['minute']);
  assert.deepEqual(
    [minutesOf('lease:a'), minutesOf('lease:b')],
    [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
  );
  assert.deepEqual([failures, errors.length], [8, 8]);
  assert.ok(delivered.findIndex((m) => m.body['sandbox'] === 'lease:a') > 3, 'b went on');
});

test('[I-25] two meters share the work; a lease that ran out is taken over, and its late holder settles nothing', async () => {
  let clockUs = 1_000_000n;
  const nowUs = () => clockUs;
  await using slow = await newTestEngine({ nowUs });
  await using quick = await newTestEngine({ shard: slow.shard, nowUs });
  await fund(slow);
  await slow.execute(sale('k', 'a'));
  const [taken, release, errors] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), [] as string[]];
  const late = deliver(
    slow,
    1,
    async () => {
      taken.resolve();
      await release.promise;
    },
    { leaseMs: 50, concurrentMax: 1, onError: (error) => errors.push(String(error)) },
  );
  await taken.promise;
  clockUs += 60_000n;
  const [again] = await deliver(quick, 1, async () => undefined, { leaseMs: 50 });
  assert.equal(again!.attempt, 2);
  release.resolve();
  await late;
  assert.deepEqual(errors, [`Error: the lease of message ${again!.id} was lost`]);
});

test('a message reaches its handler right after the commit, also from another process', async () => {
  await using seller = await newTestEngine({ role: 'api' });
  await using meter = await newTestEngine({ shard: seller.shard });
  await fund(seller);
  const endWatch = meter.watchHead(10_000); // the hint alone must do
  const arrived: number[] = [];
  const stop = new AbortController();
  let next = Promise.withResolvers<void>();
  const running = runOutbox(
    meter,
    {
      'run-ticket': async () => {
        arrived.push(performance.now());
        next.resolve();
      },
    },
    { signal: stop.signal, everyMs: 10_000 },
  );
  const delays: number[] = [];
  for (let i = 0; i < 10; i++) {
    next = Promise.withResolvers();
    await seller.execute(sale(`k${i}`, i));
    const answeredMs = performance.now();
    await next.promise;
    delays.push(arrived.at(-1)! - answeredMs);
  }
  stop.abort();
  await running;
  await endWatch();
  const median = delays.sort((a, b) => a - b)[5]!;
  assert.ok(median < WAKE_MS_MAX, `median ${median} ms`);
});
