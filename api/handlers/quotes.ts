/**
 * Quotes over the API, and money for the caller's own account.
 * Promise: what is told of a quote stands in its receipts; a top-up answers with the deposit that it became.
 */
import { type Engine, listStreams, readStream, type StreamRow } from '@tallystick/engine';
import { QuoteService, QuoteStatus } from '@tallystick/proto';
import { implement, refuse } from '@tallystick/surface';
import { type DepositState, type QuoteState, quoteStream } from '@tallystick/treasury';
import { creditOf } from '../deposits/desk.ts';
import { nextToken, pageOf } from '../page.ts';
import { type Till, topUp } from '../quotes/till.ts';
import { timestampFromUs } from '../view-parts.ts';

const QUOTES_PER_PAGE = 50;

const STATUSES: Record<string, QuoteStatus> = {
  open: QuoteStatus.OPEN,
  bound: QuoteStatus.BOUND,
  signed: QuoteStatus.SIGNED,
  paid: QuoteStatus.PAID,
  lapsed: QuoteStatus.LAPSED,
};

export const quoteHandlers = (engine: Engine, till: Till | undefined) =>
  implement(QuoteService, {
    async topUp({ amountMicros }, call) {
      if (!till) throw refuse('QUOTES_OFF');
      const deposit = await readStream(engine, await topUp(till, call, amountMicros));
      const state = deposit!.state as unknown as DepositState;
      const { receiptId, atUs, balanceMicros } = await creditOf(engine, state);
      return {
        id: state.id,
        principal: state.principal,
        amountMicros: BigInt(state.amount_micros),
        source: state.rail,
        creditedAt: timestampFromUs(atUs),
        balanceMicros,
        receiptId,
      };
    },
    async getQuote({ id }, call) {
      const head = await readStream(engine, quoteStream(id));
      if (!head || head.owner !== call.principal!.id) throw refuse('NOT_FOUND', {}, `there is no quote ${id} for you`);
      return quoteMessage(head);
    },
    async listQuotes(request, call) {
      const page = pageOf(request, QUOTES_PER_PAGE);
      const rows = await listStreams(engine, { kind: 'quote', owner: call.principal!.id, ...page });
      return { quotes: rows.map(quoteMessage), nextPageToken: nextToken(page, rows.length, rows.at(-1)?.createdPos) };
    },
  });

function quoteMessage({ state, receiptId }: StreamRow) {
  const quote = state as unknown as QuoteState;
  return {
    id: quote.id,
    principal: quote.principal,
    status: STATUSES[quote.status] ?? QuoteStatus.UNSPECIFIED,
    idempotencyKey: quote.key,
    round: quote.round,
    options: quote.options.map(({ amount_micros, label }) => ({ amountMicros: BigInt(amount_micros), label })),
    network: quote.network,
    token: quote.token,
    payTo: quote.pay_to,
    authNonce: quote.auth_nonce,
    expiresAt: timestampFromUs(quote.expires_at_us),
    amountMicros: BigInt(quote.amount_micros),
    payer: quote.payment?.from ?? '',
    tx: quote.broadcast.hash || (quote.broadcast.attempts.at(-1)?.hash ?? ''),
    depositId: quote.deposit_id,
    receiptId,
  };
}
