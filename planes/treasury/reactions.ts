/**
 * What a deposit learns from the account that has its money.
 * Promise: pure; each event leads to its command once, however often it is delivered.
 */
import { type Reaction, textIn } from '@tallystick/kernel';
import { depositStream } from './deposit.ts';

const settling = (on: string): Reaction => ({
  on,
  commands: ({ body }) =>
    body['source'] === 'development'
      ? []
      : [
          {
            stream: depositStream(textIn(body, 'deposit_id')),
            type: 'SettleDeposit',
            body: { principal: textIn(body, 'principal') },
          },
        ],
});

export const TREASURY_REACTIONS: readonly Reaction[] = ['DepositCredited', 'DepositClaimed'].map(settling);
