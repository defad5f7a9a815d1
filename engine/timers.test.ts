/** Timers and reactions: carried out once by any number of meters, cleared when refused, none stops another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditShard } from './audit.ts';
import type { Engine } from './commit/engine.ts';
import { readStream, waitingWork } from './read.ts';
import { MINUTE_US } from './testing/rules.ts';
import { command, fund, JOB, newTestEngine, sale, TEST_LOG_KEY, TEST_RULES, testDatabase, WALLET } from './testing.ts';
import { fireDueTimers, REACTION_GRACE_US, runTimers } from './timers.ts';

async function minutesSold(engine: Engine, leases: number): Promise<number> {
  const rows = await Promise.all(Array.from({ length: leases }, (_, i) => readStream(engine, `lease:s${i}`)));
  return rows.reduce((sum, row) => sum + Number(row?.state['minutes'] ?? 0), 0);
}

test('[I-24] due timers buy the next minute once though two meters fire them; a refused timer does not fire again', async () => {
  let clockUs = MINUTE_US;
  const nowUs = () => clockUs;
  await using one = await newTestEngine({ nowUs });
  await using two = await newTestEngine({ shard: one.shard, nowUs });
  await fund(one, '35000'); // 10 first minutes, 10 more, 10 more, then 5 of 10
  await Promise.all(Array.from({ length: 10 }, (_, i) => one.execute(sale(`s${i}`, `s${i}`))));
  for (const soldInAll of [20, 30, 35, 35]) {
    clockUs += MINUTE_US;
    await Promise.all([one, two].map((engine) => fireDueTimers(engine)));
    assert.equal(await minutesSold(one, 10), soldInAll);
  }
  assert.equal((await waitingWork(one)).nextDueUs, undefined, 'the refused ones are cleared');
  await one.execute({ ...sale('stop', 's0'), type: 'StopLease' });
  await one.settled();
  assert.equal((await waitingWork(one)).nextDueUs, undefined);
  const audit = await auditShard({
    database: await testDatabase(),
    role: 'meter',
    rules: TEST_RULES,
    logKey: TEST_LOG_KEY,
    shard: one.shard,
  });
  assert.deepEqual(audit.problems, []);
});

test('[I-26] timers that fail rest and stop no other', async () => {
  let clockUs = MINUTE_US;
  await using engine = await newTestEngine({ nowUs: () => clockUs });
  await fund(engine);
  await engine.execute(sale('good', 's0'));
  const crashing = { ...TEST_RULES, deciders: new Map(TEST_RULES.deciders) };
  const lease = TEST_RULES.deciders.get('lease')!;
  crashing.deciders.set('lease', {
    ...lease,
    decide: (state, given, seen) => {
      if (given.stream === 'lease:s0' && given.principal === 'timer') throw new TypeError('always');
      return lease.decide(state, given, seen);
    },
  });
  await using meter = await newTestEngine({ shard: engine.shard, rules: crashing, nowUs: () => clockUs });
  await meter.execute(sale('other', 's1'));
  clockUs += MINUTE_US;
  const [stop, errors] = [new AbortController(), [] as unknown[]];
  const sold = Promise.withResolvers<void>();
  const unlisten = meter.onCommit(() => sold.resolve());
  const running = runTimers(meter, { signal: stop.signal, everyMs: 5, onError: (error) => errors.push(error) });
  await sold.promise;
  clockUs += 1_000n;
  await meter.execute(command('later', JOB, 'OpenJob', { budgetMicros: '1' }));
  stop.abort();
  await running;
  unlisten();
  assert.equal(await minutesSold(meter, 2), 3, 'the other was renewed');
  assert.deepEqual(errors.map(String), ['TypeError: always'], 'told once, then it rests');
});

test('[I-23] a reaction is carried out at once, and by any meter when its process died before', async () => {
  let clockUs = MINUTE_US;
  const nowUs = () => clockUs;
  await using engine = await newTestEngine({ nowUs });
  await fund(engine);
  await engine.execute({ ...sale('stop-0', 's0'), type: 'StopLease' });
  await engine.settled();
  assert.equal((await readStream(engine, 'tally:stopped'))?.version, 1);
  await using dying = await newTestEngine({ shard: engine.shard, nowUs });
  const execute = dying.execute.bind(dying);
  dying.execute = (given) => (given.principal === 'reaction' ? Promise.reject(new Error('died')) : execute(given));
  await dying.execute({ ...sale('stop-1', 's1'), type: 'StopLease' });
  assert.equal(await fireDueTimers(engine), 0, 'its process is given a moment');
  clockUs += REACTION_GRACE_US;
  await using other = await newTestEngine({ shard: engine.shard, nowUs });
  const fired = await Promise.all([fireDueTimers(engine), fireDueTimers(other)]);
  assert.ok(Math.max(...fired) === 1, 'one of them at least');
  assert.equal((await readStream(engine, 'tally:stopped'))?.version, 2);
  assert.equal(await fireDueTimers(engine), 0);
  assert.equal((await readStream(engine, WALLET))?.version, 1);
});
