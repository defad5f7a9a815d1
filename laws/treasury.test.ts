// Histories of a whole treasury on a real chain and a real database, a few of them; the long suite lives through many.
import { test } from 'node:test';
import fc from 'fast-check';
import { live, type Step, steps } from './treasury-histories.ts';

const RUNS = 8;
const STEPS_MAX = 18;
/** The same histories every day; the long suite lives through others. */
const SEED = 4_242;

/** What was hard once. */
const KNOWN: [what: string, confirmations: number, history: Step[]][] = [
  [
    'a final withdrawal and the deposit behind it are forgotten together',
    1,
    [
      { do: 'remember' },
      { do: 'deposit', who: 0, cents: 50n },
      { do: 'look' },
      { do: 'withdraw', who: 0, cents: 50n },
      { do: 'carry' },
      { do: 'carry' },
      { do: 'look' },
      { do: 'forget' },
      { do: 'look' },
      { do: 'carry' },
    ],
  ],
  [
    'a sweep is forgotten with the deposit that it moved, whose owner has withdrawn it',
    1,
    [
      { do: 'remember' },
      { do: 'forward', who: 1, cents: 70n },
      { do: 'look' },
      { do: 'sweep' },
      { do: 'carry' },
      { do: 'look' },
      { do: 'withdraw', who: 1, cents: 30n },
      { do: 'carry' },
      { do: 'look' },
      { do: 'forget' },
      { do: 'look' },
      { do: 'forward', who: 1, cents: 5n },
      { do: 'carry' },
      { do: 'look' },
    ],
  ],
  [
    'meters die at every step of a withdrawal',
    2,
    [
      { do: 'deposit', who: 0, cents: 90n },
      { do: 'mine', blocks: 2 },
      { do: 'die-watching', point: 9 },
      { do: 'look' },
      { do: 'withdraw', who: 0, cents: 40n },
      { do: 'die-carrying', point: 6 },
      { do: 'die-carrying', point: 14 },
      { do: 'spend', who: 0 },
      { do: 'die-carrying', point: 22 },
      { do: 'restart' },
      { do: 'withdraw', who: 0, cents: 40n },
    ],
  ],
  [
    'a payment is taken back after it was bound, and another one is asked for when it can never come',
    2,
    [
      { do: 'ask-machine', who: 0 },
      { do: 'pay', who: 0, wallet: 'own', choice: 1, copies: 3 },
      { do: 'take-back', who: 0 },
      { do: 'carry' },
      { do: 'ask-again', who: 0, copies: 2 },
      { do: 'later' },
      { do: 'die-lapsing', point: 5 },
      { do: 'look' },
      { do: 'mine', blocks: 2 },
      { do: 'lapse' },
      { do: 'look' },
      { do: 'lapse' },
      { do: 'ask-again', who: 0, copies: 1 },
      { do: 'pay', who: 0, wallet: 'patron', choice: 0, copies: 1 },
      { do: 'carry' },
      { do: 'look' },
    ],
  ],
  [
    'a paid machine, whose payment the chain forgets while its owner withdraws the rest',
    1,
    [
      { do: 'ask-machine', who: 1 },
      { do: 'remember' },
      { do: 'die-paying', who: 1, wallet: 'own', choice: 2, point: 9 },
      { do: 'pay', who: 1, wallet: 'own', choice: 2, copies: 2 },
      { do: 'carry' },
      { do: 'look' },
      { do: 'ask-again', who: 1, copies: 3 },
      { do: 'withdraw-all', who: 1 },
      { do: 'forget' },
      { do: 'carry' },
      { do: 'look' },
    ],
  ],
  [
    'a payment is final, and the chain forgets it before its money was seen',
    1,
    [
      { do: 'ask-machine', who: 1 },
      { do: 'pay', who: 1, wallet: 'own', choice: 0, copies: 1 },
      { do: 'remember' },
      { do: 'carry' },
      { do: 'carry' },
      { do: 'forget' },
    ],
  ],
  [
    'the chain forgets a credited payment, and a stranger carries it in another transaction',
    1,
    [
      { do: 'ask-money', who: 1, cents: 50n },
      { do: 'remember' },
      { do: 'pay', who: 1, wallet: 'own', choice: 0, copies: 1 },
      { do: 'carry' },
      { do: 'look' },
      { do: 'forget' },
      { do: 'stranger-carries', who: 1 },
      { do: 'look' },
    ],
  ],
  [
    'a payment is forgotten and grows too old before its bytes are sent again, and others wait behind its nonce',
    1,
    [
      { do: 'ask-money', who: 1, cents: 50n },
      { do: 'remember' },
      { do: 'pay', who: 1, wallet: 'own', choice: 0, copies: 1 },
      { do: 'carry' },
      { do: 'carry' },
      { do: 'forget' },
      { do: 'later' },
      { do: 'lapse' },
      { do: 'ask-money', who: 0, cents: 20n },
      { do: 'pay', who: 0, wallet: 'own', choice: 0, copies: 1 },
      { do: 'carry' },
    ],
  ],
  [
    'a meter dies between a credit and its mark, and the chain forgets the deposit before another looks',
    1,
    [{ do: 'remember' }, { do: 'deposit', who: 0, cents: 1n }, { do: 'die-watching', point: 29 }, { do: 'forget' }],
  ],
  [
    'a meter dies between a credit and its mark, and other blocks hold the deposit',
    1,
    [
      { do: 'deposit', who: 1, cents: 90n },
      { do: 'look' },
      { do: 'remember' },
      { do: 'deposit', who: 0, cents: 30n },
      { do: 'die-watching', point: 29 },
      { do: 'forget-and-pay-again' },
      { do: 'look' },
      { do: 'withdraw', who: 1, cents: 90n },
      { do: 'carry' },
      { do: 'look' },
    ],
  ],
  [
    'a payment of an earlier round is forgotten, and others wait behind its nonce',
    1,
    [
      { do: 'ask-machine', who: 1 },
      { do: 'remember' },
      { do: 'pay', who: 1, wallet: 'own', choice: 3, copies: 1 },
      { do: 'carry' },
      { do: 'carry' },
      { do: 'look' },
      { do: 'withdraw-all', who: 1 },
      { do: 'ask-again', who: 1, copies: 1 },
      { do: 'forget' },
      { do: 'look' },
      { do: 'ask-money', who: 0, cents: 20n },
      { do: 'pay', who: 0, wallet: 'own', choice: 0, copies: 1 },
    ],
  ],
  [
    'two meters look, carry and sweep at once, while a payment is bound and the chain forgets',
    1,
    [
      { do: 'beside', other: 'look', step: { do: 'deposit', who: 0, cents: 80n } },
      { do: 'forward', who: 1, cents: 60n },
      { do: 'beside', other: 'look', step: { do: 'look' } },
      { do: 'ask-machine', who: 1 },
      { do: 'remember' },
      { do: 'beside', other: 'sweep', step: { do: 'sweep' } },
      { do: 'beside', other: 'carry', step: { do: 'pay', who: 1, wallet: 'own', choice: 1, copies: 2 } },
      { do: 'beside', other: 'carry', step: { do: 'carry' } },
      { do: 'beside', other: 'look', step: { do: 'withdraw', who: 0, cents: 50n } },
      { do: 'beside', other: 'carry', step: { do: 'carry' } },
      { do: 'beside', other: 'look', step: { do: 'forget' } },
      { do: 'beside', other: 'look', step: { do: 'carry' } },
      { do: 'beside', other: 'lapse', step: { do: 'lapse' } },
    ],
  ],
  [
    'a stranger carries what the api died with, and what was never shown to it',
    2,
    [
      { do: 'ask-money', who: 0, cents: 30n },
      { do: 'die-paying', who: 0, wallet: 'patron', choice: 0, point: 7 },
      { do: 'stranger-carries', who: 0 },
      { do: 'look' },
      { do: 'pay-again', who: 0, copies: 2 },
      { do: 'ask-money', who: 1, cents: 20n },
      { do: 'die-paying', who: 1, wallet: 'own-nonce', choice: 0, point: 1 },
      { do: 'stranger-carries', who: 1 },
      { do: 'mine', blocks: 2 },
      { do: 'look' },
      { do: 'pay-again', who: 1, copies: 1 },
      { do: 'pay', who: 1, wallet: 'own', choice: 0, copies: 1 },
      { do: 'later' },
    ],
  ],
];

for (const [what, confirmations, history] of KNOWN)
  test(`[I-42] [I-43] the chain holds what the ledger says: ${what}`, () => live(history, confirmations));

test('[I-14] [I-40] [I-41] [I-42] [I-43] after any history the chain holds what the ledger says, and everybody got theirs once', async () => {
  const property = fc.asyncProperty(
    fc.array(steps, { maxLength: STEPS_MAX, size: 'max' }),
    fc.integer({ min: 1, max: 3 }),
    (history, confirmations) => live(history, confirmations),
  );
  await fc.assert(property, { numRuns: RUNS, endOnFailure: true, seed: SEED });
});
