/**
 * Many histories of a whole treasury on a real chain and a real database, longer ones than the daily suite has time for.
 * Promise: a history after which the books and the chain differ is told with its steps, as short as it can be.
 */
import { test } from 'node:test';
import fc from 'fast-check';
import { live, racingSteps, steps } from './treasury-histories.ts';

const RUNS = 250;
const STEPS_MAX = 45;

const PROPERTIES = [
  ['any of many histories', steps],
  ['any of many histories of two meters at once', racingSteps],
] as const;

for (const [what, arbitrary] of PROPERTIES)
  test(`[I-14] [I-40] [I-41] [I-42] [I-43] after ${what} the chain holds what the ledger says, and everybody got theirs once`, async () => {
    const property = fc.asyncProperty(
      fc.array(arbitrary, { maxLength: STEPS_MAX, size: 'max' }),
      fc.integer({ min: 1, max: 4 }),
      (history, confirmations) => live(history, confirmations),
    );
    await fc.assert(property, { numRuns: RUNS });
  });
