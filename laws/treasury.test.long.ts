/**
 * Many histories of a whole treasury on a real chain and a real database, longer ones than the daily suite has time for.
 * Promise: a history after which the books and the chain differ is told with its steps, as short as it can be.
 */
import { test } from 'node:test';
import fc from 'fast-check';
import { live, steps } from './treasury-histories.ts';

const RUNS = 250;
const STEPS_MAX = 45;

test('[I-14] [I-40] [I-41] [I-42] [I-43] after any of many histories the chain holds what the ledger says, and everybody got theirs once', async () => {
  const property = fc.asyncProperty(
    fc.array(steps, { maxLength: STEPS_MAX, size: 'max' }),
    fc.integer({ min: 1, max: 4 }),
    (history, confirmations) => live(history, confirmations),
  );
  await fc.assert(property, { numRuns: RUNS });
});
