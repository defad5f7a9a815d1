/**
 * What a deposit, and the quote that it pays, learn from the account that has its money.
 * Promise: pure; each event leads to its command once, however often it is delivered.
 */
import { optionalIn, type Reaction, textIn } from '@tallystick/kernel';
import { depositStream } from './deposit.ts';
import { quoteStream } from './quote-state.ts';

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

const paying: Reaction = {
  on: 'DepositCredited',
  commands({ body }) {
    const quote = optionalIn(body, 'quote_id', textIn);
    if (quote === null) return [];
    const { deposit_id, amount_micros, payer, authorization: nonce } = body as Record<string, string>;
    const told = { deposit_id: deposit_id!, amount_micros: amount_micros!, payer: payer!, nonce: nonce! };
    return [{ stream: quoteStream(quote), type: 'SettleQuote', body: told }];
  },
};

export const TREASURY_REACTIONS: readonly Reaction[] = [...['DepositCredited', 'DepositClaimed'].map(settling), paying];
